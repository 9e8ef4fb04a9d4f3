"""Changes of the state: webhook messages, the poll of Alertmanager's API, timers, and a changed config.

One transaction each. Rows are loaded as a working set, changed by plain functions, and written; nothing here does I/O of
its own or knows of HTTP.
"""
