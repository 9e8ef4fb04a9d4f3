{{- define "relay.name" -}}
{{ printf "%s" .Release.Name | trunc 53 | trimSuffix "-" }}
{{- end }}

{{- define "relay.selector" -}}
app.kubernetes.io/name: alertmanager-relay
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "relay.labels" -}}
{{ include "relay.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}
