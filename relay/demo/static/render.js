/* Builds what the panes show. Everything that comes from alerts enters the page as text of nodes, never as markup. */
"use strict";

function element(name, options = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(options)) {
    if (key === "class") made.className = value;
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return made;
}

function safeUrl(text) {
  try {
    const url = new URL(text);
    return ["http:", "https:", "mailto:", "tg:"].includes(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}

function link(url, ...children) {
  const safe = safeUrl(url);
  return safe ? element("a", { href: safe, target: "_blank", rel: "noopener noreferrer" }, ...children) : element("span", {}, ...children);
}

const clock = new Intl.DateTimeFormat([], { hour: "2-digit", minute: "2-digit" });
const moment = new Intl.DateTimeFormat([], { weekday: "short", hour: "2-digit", minute: "2-digit" });
const at = (seconds) => clock.format(new Date(seconds * 1000));

function fileLine(file) {
  const size = file.size < 1000 ? `${file.size} B` : `${(file.size / 1000).toFixed(1)} kB`;
  return element("div", { class: "file" }, element("b", {}, file.name), element("small", {}, size));
}

/* Telegram: offsets and lengths are UTF-16 units, which is what JavaScript counts as well. */

const STYLES = { bold: "b", italic: "i", underline: "u", strikethrough: "s", code: "code", pre: "pre", blockquote: "blockquote", expandable_blockquote: "blockquote" };

function wrap(entity, text, children) {
  switch (entity.type) {
    case "text_link": return link(entity.url, ...children);
    case "url": return link(text.includes("://") ? text : `https://${text}`, ...children);
    case "bot_command": return element("span", { class: "command" }, ...children);
    case "spoiler": return element("span", { class: "spoiler", tabindex: "0" }, ...children);
    case "expandable_blockquote": {
      const quote = element("blockquote", { class: "expandable", tabindex: "0", role: "button", "aria-expanded": "false" }, ...children);
      const turn = () => quote.setAttribute("aria-expanded", String(quote.classList.toggle("open")));
      quote.addEventListener("click", turn);
      quote.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); turn(); } });
      return quote;
    }
    default: return element(STYLES[entity.type] || "span", {}, ...children);
  }
}

function formatted(text, entities) {
  const ordered = [...entities].sort((a, b) => a.offset - b.offset || b.length - a.length);
  const build = (from, to, inside) => {
    const nodes = [];
    let position = from;
    for (let index = 0; index < inside.length; index += 1) {
      const entity = inside[index];
      const end = Math.min(entity.offset + entity.length, to);
      if (entity.offset < position || end <= entity.offset) continue;
      if (entity.offset > position) nodes.push(document.createTextNode(text.slice(position, entity.offset)));
      const within = inside.slice(index + 1).filter((other) => other.offset < end);
      nodes.push(wrap(entity, text.slice(entity.offset, end), build(entity.offset, end, within)));
      position = end;
    }
    if (position < to) nodes.push(document.createTextNode(text.slice(position, to)));
    return nodes;
  };
  return build(0, text.length, ordered);
}

function keyboard(item, press) {
  const rows = item.buttons.map((row, y) => element("div", { class: "row" }, ...row.map((button, x) => {
    const focus = `${item.key}/${y}/${x}`;
    if (button.url) {
      const made = link(button.url, button.text);
      made.classList.add("outside");
      made.dataset.focus = focus;
      return made;
    }
    const made = element("button", { type: "button", "data-focus": focus }, button.text);
    made.addEventListener("click", () => press(item, button, made));
    return made;
  })));
  return rows.length ? element("div", { class: "keyboard" }, ...rows) : null;
}

function telegramMessage(item, press) {
  const quote = item.quote && element("a", { class: "quote", href: `#telegram-${item.quote.id}` }, element("b", {}, item.quote.who), element("span", {}, item.quote.text));
  const foot = element("span", { class: "meta" }, item.silent ? "🔕 " : "", item.edited ? `${t("edited")} ` : "", at(item.at), item.mine ? " ✓✓" : "");
  const bubble = element("div", { class: "bubble" },
    item.mine ? null : element("div", { class: "who" }, item.who),
    quote,
    item.file ? fileLine(item.file) : null,
    element("div", { class: "text" }, ...formatted(item.text, item.entities), foot));
  return element("article", { id: item.key, class: item.mine ? "message mine" : "message", "data-edited": item.edited },
    item.mine ? null : element("span", { class: "avatar", "aria-hidden": "true" }, item.who.slice(0, 1)),
    bubble, keyboard(item, press));
}

/* Slack: mrkdwn and the blocks that the relay sends. */

const decoded = (text) => text.replace(/&lt;/g, "<").replace(/&gt;/g, ">").replace(/&amp;/g, "&");
const MRKDWN = /`([^`\n]+)`|<([^<>\n]+)>|(?<![\w*])\*([^*\n]+)\*(?![\w*])|(?<![\w~])~([^~\n]+)~(?![\w~])|(?<![\w_])_([^_\n]+)_(?![\w_])/;

function mrkdwn(text) {
  const found = MRKDWN.exec(text);
  if (!found) return text ? [document.createTextNode(decoded(text))] : [];
  const [whole, code, angle, bold, struck, italic] = found;
  let node;
  if (code !== undefined) node = element("code", {}, decoded(code));
  else if (angle !== undefined) node = special(angle);
  else if (bold !== undefined) node = element("b", {}, ...mrkdwn(bold));
  else if (struck !== undefined) node = element("s", {}, ...mrkdwn(struck));
  else node = element("i", {}, ...mrkdwn(italic));
  const before = text.slice(0, found.index);
  return [...(before ? [document.createTextNode(decoded(before))] : []), node, ...mrkdwn(text.slice(found.index + whole.length))];
}

function special(inside) {
  const [target, label] = inside.split("|", 2);
  const date = /^!date\^(\d+)\^/.exec(target);
  if (date) return element("time", {}, moment.format(new Date(Number(date[1]) * 1000)));
  if (target.startsWith("!") || target.startsWith("@") || target.startsWith("#")) return element("mark", {}, decoded(label || target));
  return link(decoded(target), decoded(label || target));
}

const lines = (text) => text.split("\n").flatMap((line, index) => [...(index ? [element("br")] : []), ...(line.startsWith("&gt;") ? [element("blockquote", {}, ...mrkdwn(line.slice(4).trim()))] : mrkdwn(line))]);
const plainOrMrkdwn = (part) => (part.type === "mrkdwn" ? lines(part.text) : [document.createTextNode(part.text)]);

function block(one) {
  switch (one.type) {
    case "header": return element("h3", {}, ...plainOrMrkdwn(one.text));
    case "divider": return element("hr");
    case "section": return element("div", { class: "section" }, ...(one.text ? plainOrMrkdwn(one.text) : []), ...(one.fields || []).map((part) => element("div", {}, ...plainOrMrkdwn(part))));
    case "context": return element("div", { class: "context" }, ...one.elements.map((part) => element("span", {}, ...plainOrMrkdwn(part))));
    case "actions": return element("div", { class: "actions" }, ...one.elements.map((part) => link(part.url, part.text.text)));
    default: return null;
  }
}

function slackMessage(item) {
  const blocks = item.blocks.length ? item.blocks.map(block) : [element("div", { class: "section" }, ...lines(item.text))];
  return element("div", { class: "content" },
    element("span", { class: "avatar", "aria-hidden": "true" }, "R"),
    element("div", { class: "column" },
      element("div", { class: "who" }, element("b", {}, item.who), element("small", { class: "app" }, "APP"), element("time", {}, at(item.at)), item.edited ? element("small", { class: "edited" }, t("(edited)")) : null),
      ...blocks, ...item.files.map(fileLine)));
}

/* Mail: the HTML of a mail is shown in a frame that may run nothing, send nothing and reach nothing of this page. */

function mailView(mails, chosen, choose) {
  const mail = mails.find((one) => one.key === chosen) || mails[mails.length - 1];
  const frame = element("iframe", { title: `Mail: ${mail.subject}`, sandbox: "allow-popups allow-popups-to-escape-sandbox", referrerpolicy: "no-referrer" });
  frame.srcdoc = mail.html.replace(/<head>/i, '<head><base target="_blank">');
  const steps = mails.length > 1 ? element("div", { class: "steps", role: "group", "aria-label": t("Mails of this thread") }, ...mails.map((one) => {
    const step = element("button", { type: "button", "aria-pressed": String(one === mail), "data-focus": `step-${one.key}` }, at(one.at));
    step.addEventListener("click", () => choose(one.key));
    return step;
  })) : null;
  return [
    element("div", { class: "head" }, element("h3", {}, mail.subject), element("p", {}, `${mail.from} → ${mail.to}`), steps, ...mail.files.map(fileLine)),
    frame,
  ];
}

function mailRow(mails, open) {
  const last = mails[mails.length - 1];
  const row = element("button", { type: "button", "aria-pressed": String(open), "data-focus": `thread-${last.thread}` },
    element("span", { class: "line" }, element("b", {}, last.from.replace(/\s*<.*>/, "")), mails.length > 1 ? element("small", { class: "count" }, String(mails.length)) : null, element("time", {}, at(last.at))),
    element("span", { class: "subject" }, last.subject),
    element("span", { class: "snippet" }, last.snippet));
  return row;
}
