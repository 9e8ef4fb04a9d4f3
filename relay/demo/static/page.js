/* Keeps the panes in step with the server, and brings what a person does back to it. */
"use strict";

const find = (id) => document.getElementById(id);
const items = new Map();
const nodes = new Map();
const panes = ["telegram", "slack", "mail"];
let chosenThread = null;
let chosenMail = null;

async function order(name, body = {}) {
  try {
    const answer = await fetch(name, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
    return answer.ok ? await answer.json() : { text: `The demo answered ${answer.status}.` };
  } catch {
    return { text: t("The demo has stopped.") };
  }
}

let toastTimer;
function toast(text) {
  find("toast").textContent = text;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => { find("toast").textContent = ""; }, 4000);
}

async function press(item, button, made) {
  made.setAttribute("aria-busy", "true");
  const answer = await order("press", { message: item.id, data: button.data });
  made.removeAttribute("aria-busy");
  if (!answer.text) return;
  answer.text = t(answer.text);
  if (answer.alert) {
    find("alert-text").textContent = answer.text;
    find("alert").showModal();
  } else {
    toast(answer.text);
  }
}

/* A message that is drawn anew must not take the focus away from who is on its buttons, nor the view from who reads. */
function keepingPlace(log, change) {
  const focus = document.activeElement?.dataset?.focus;
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 80;
  const anchor = atEnd ? null : [...log.children].find((child) => child.offsetTop + child.offsetHeight > log.scrollTop);
  const offset = anchor ? anchor.offsetTop - log.scrollTop : 0;
  const key = anchor?.id;
  change();
  if (focus && document.activeElement?.dataset?.focus !== focus) {
    document.querySelector(`[data-focus="${CSS.escape(focus)}"]`)?.focus({ preventScroll: true });
  }
  if (atEnd) log.scrollTop = log.scrollHeight;
  else if (key && find(key)) log.scrollTop = find(key).offsetTop - offset;
}

function place(list, node, at) {
  node.dataset.at = at;
  const later = [...list.children].find((child) => Number(child.dataset.at) > at);
  list.insertBefore(node, later || null);
}

function drawTelegram(item) {
  const made = telegramMessage(item, press);
  const old = nodes.get(item.key);
  if (old) {
    made.dataset.at = old.dataset.at;
    made.classList.add("changed");
    old.replaceWith(made);
  } else {
    place(find("telegram-log"), made, item.id);
  }
  nodes.set(item.key, made);
}

function drawSlack(item) {
  let node = nodes.get(item.key);
  if (node) {
    node.firstChild.replaceWith(slackMessage(item));
  } else {
    node = element("article", { id: item.key, class: "post" }, slackMessage(item), element("details", { class: "thread", hidden: true, open: true }, element("summary"), element("div", { class: "replies" })));
    const parent = item.thread && nodes.get(item.thread);
    place(parent ? parent.querySelector(".replies") : find("slack-log"), node, item.at);
    nodes.set(item.key, node);
    if (parent) {
      const count = parent.querySelector(".replies").children.length;
      parent.querySelector(".thread").hidden = false;
      parent.querySelector("summary").textContent = replies(count);
    }
  }
}

function drawMail() {
  const mails = [...items.values()].filter((item) => item.pane === "mail").sort((a, b) => a.at - b.at);
  const threads = new Map();
  for (const mail of mails) threads.set(mail.thread, [...(threads.get(mail.thread) || []), mail]);
  const newestFirst = [...threads.values()].sort((a, b) => b[b.length - 1].at - a[a.length - 1].at);
  const open = threads.get(chosenThread) || newestFirst[0];
  const list = find("mail-list");
  keepingPlace(list, () => list.replaceChildren(...newestFirst.map((thread) => {
    const row = mailRow(thread, thread === open);
    row.addEventListener("click", () => { chosenThread = thread[0].thread; chosenMail = null; drawMail(); });
    return row;
  })));
  if (!open) {
    find("reader").replaceChildren(element("p", { class: "nothing" }, t("No mail yet.")));
    return;
  }
  const shown = open.some((one) => one.key === chosenMail) ? chosenMail : open[open.length - 1].key;
  const state = `${shown} ${open.length}`;
  if (find("reader").dataset.shown === state) return;
  find("reader").dataset.shown = state;
  keepingPlace(find("reader"), () => find("reader").replaceChildren(...mailView(open, shown, (key) => { chosenThread = open[0].thread; chosenMail = key; drawMail(); })));
}

function drawStatus(status) {
  speak(status.language);
  const story = status.story;
  find("progress").textContent = t(status.ready ? story.text || "Ready. Play the story, or fire an alert of your own." : "Starting the relay …");
  find("bar").setAttribute("aria-valuenow", story.step);
  find("bar").setAttribute("aria-valuemax", story.steps);
  find("bar").firstElementChild.style.width = `${(100 * story.step) / story.steps}%`;
  find("play").textContent = t(story.running ? "Playing …" : story.step ? "Play again" : "Play");
  find("play").disabled = story.running || !status.ready;
  find("fire").disabled = find("resolve").disabled = !status.ready;
  find("telegram-title").textContent = t(status.chat);
  find("slack-title").textContent = `# ${status.channel}`;
  find("alertmanager").textContent = t(status.alertmanager);
}

function note(pane) {
  if (document.body.dataset.pane === pane) return;
  const badge = document.querySelector(`#tab-${pane} b`);
  badge.textContent = String(Number(badge.textContent || 0) + 1);
  badge.hidden = false;
}

function take(news) {
  if (news.reset) {
    items.clear();
    nodes.clear();
    for (const id of ["telegram-log", "slack-log", "mail-list"]) find(id).replaceChildren();
    delete find("reader").dataset.shown;
  }
  const changed = Object.entries(news.items || {});
  if (news.items?.status) drawStatus(news.items.status);
  const drawn = changed.filter(([key]) => key !== "status").map(([key, item]) => ({ ...item, key }));
  for (const item of drawn) {
    if (!items.has(item.key) && !news.reset) note(item.pane);
    items.set(item.key, item);
  }
  for (const key of news.gone || []) {
    items.delete(key);
    nodes.get(key)?.remove();
    nodes.delete(key);
  }
  const of = (pane) => drawn.filter((item) => item.pane === pane);
  if (of("telegram").length) keepingPlace(find("telegram-log"), () => of("telegram").forEach(drawTelegram));
  if (of("slack").length) keepingPlace(find("slack-log"), () => of("slack").sort((a, b) => a.at - b.at).forEach(drawSlack));
  if (of("mail").length) drawMail();
}

function listen() {
  const events = new EventSource("events");
  events.onmessage = (event) => take(JSON.parse(event.data));
  events.onerror = () => { find("progress").textContent = t("The demo has stopped, or is out of reach."); };
}

function choosePane(name, focus) {
  document.body.dataset.pane = name;
  for (const pane of panes) {
    const tab = find(`tab-${pane}`);
    tab.setAttribute("aria-selected", String(pane === name));
    tab.tabIndex = pane === name ? 0 : -1;
  }
  const badge = document.querySelector(`#tab-${name} b`);
  badge.textContent = "";
  badge.hidden = true;
  if (focus) find(`tab-${name}`).focus();
  const log = find(`${name}-log`);
  if (log) log.scrollTop = log.scrollHeight;
}

async function say(text) {
  if (text.trim()) await order("say", { text });
  find("telegram-log").scrollTop = find("telegram-log").scrollHeight;
}

find("composer").addEventListener("submit", async (event) => {
  event.preventDefault();
  const text = find("say").value;
  find("say").value = "";
  await say(text);
});
for (const button of document.querySelectorAll(".commands button")) button.addEventListener("click", () => say(button.textContent));
for (const name of ["play", "fire", "resolve"]) {
  find(name).addEventListener("click", async () => {
    const answer = await order(name);
    if (answer.text) toast(answer.text);
  });
}
panes.forEach((pane, index) => {
  find(`tab-${pane}`).addEventListener("click", () => choosePane(pane));
  find(`tab-${pane}`).addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: panes.length - 1 }[event.key];
    if (step) choosePane(panes[(index + step) % panes.length], true);
  });
});
find("telegram-log").addEventListener("click", (event) => {
  const quote = event.target.closest("a.quote");
  if (!quote) return;
  event.preventDefault();
  const target = document.querySelector(quote.getAttribute("href"));
  if (!target) return;
  target.scrollIntoView({ block: "center" });
  target.classList.remove("changed");
  requestAnimationFrame(() => target.classList.add("changed"));
});
listen();
