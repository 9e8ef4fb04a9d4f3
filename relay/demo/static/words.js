/* The page in Russian: `relay demo --language ru`. The English texts are the keys; what is not here stays as it is. */
"use strict";

const RUSSIAN = {
  "Starting …": "Запускаем …",
  "Starting the relay …": "Запускаем relay …",
  "Ready. Play the story, or fire an alert of your own.": "Готово. Запустите историю или зажгите свой алерт.",
  "Play": "Показать",
  "Play again": "Ещё раз",
  "Playing …": "Идёт показ …",
  "Fire an alert": "Зажечь алерт",
  "Resolve all": "Решить всё",
  "Mail": "Почта",
  "On-call": "Дежурные",
  "Telegram group · you are Anna, an admin of the bot": "Группа Telegram · вы — Анна, администратор бота",
  "Slack channel · replies in threads": "Канал Slack · ответы в тредах",
  "Inbox": "Входящие",
  "ops@callcentre.example · criticals only": "ops@callcentre.example · только критичные",
  "No mail yet.": "Писем пока нет.",
  "Nothing leaves this machine.": "Ничто не покидает эту машину.",
  "Message, or a command such as /alerts": "Сообщение или команда, например /alerts",
  "Write to the group as Anna": "Написать в группу от имени Анны",
  "Progress of the story": "Ход истории",
  "Programs": "Программы",
  "Telegram messages": "Сообщения Telegram",
  "Commands to try": "Команды, которые стоит попробовать",
  "Send": "Отправить",
  "Slack messages": "Сообщения Slack",
  "Mails, newest first": "Письма, сначала новые",
  "Mails of this thread": "Письма этой цепочки",
  "edited": "изменено",
  "(edited)": "(изменено)",
  "The demo has stopped.": "Демо остановлено.",
  "The demo has stopped, or is out of reach.": "Демо остановлено или недоступно.",
  "The bot did not answer within 15 seconds.": "Бот не ответил за 15 секунд.",
  "This button is gone.": "Этой кнопки больше нет.",
  "A real Alertmanager groups the alerts and keeps the silences.": "Алерты группирует и тишину хранит настоящий Alertmanager.",
  "No Alertmanager program was found: silences act on a stand-in.": "Программа Alertmanager не найдена: её роль играет двойник.",
  "A call centre with a voice robot. All is quiet.": "Колл-центр с голосовым роботом. Всё тихо.",
  "The robot becomes slow: one warning, in the chat and in Slack.": "Робот тормозит: одно предупреждение, в чате и в Slack.",
  "It breaks: the same message turns critical, phones ring, a mail goes out.": "Поломка: то же сообщение становится критичным, телефоны звонят, уходит письмо.",
  "Anna takes it with the Ack button; everybody sees who has it.": "Анна берёт алерт кнопкой «Взять»; все видят, у кого он.",
  "She asks the bot what fires.": "Она спрашивает бота, что горит.",
  "A storm: 120 lines complain at once. One digest names each; what is critical rings.": "Шторм: жалуются сразу 120 линий. Одна сводка называет каждую; критическое звонит само.",
  "She silences what most of them share: how long, what it hits, confirm.": "Она глушит то, что у большинства общее: срок, что это заденет, подтверждение.",
  "The fix works: she ends the silence, and everything resolves where it stands.": "Починили: она снимает тишину, и всё решается на своих местах.",
  "Over. Write /help, fire an alert of your own, or play it again.": "Конец. Напишите /help, зажгите свой алерт или посмотрите ещё раз.",
};

let russian = false;
const t = (text) => (russian && RUSSIAN[text]) || text;
const replies = (count) => (russian ? `Ответов: ${count}` : count === 1 ? "1 reply" : `${count} replies`);

/* Gives the page its language, once and before anything is drawn: later texts go through t(). */
function speak(language) {
  if (language !== "ru" || russian) return;
  russian = true;
  document.documentElement.lang = "ru";
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const text = walk.currentNode.nodeValue.trim();
    if (text) walk.currentNode.nodeValue = walk.currentNode.nodeValue.replace(text, t(text));
  }
  for (const name of ["aria-label", "placeholder"]) {
    for (const named of document.querySelectorAll(`[${name}]`)) named.setAttribute(name, t(named.getAttribute(name)));
  }
}
