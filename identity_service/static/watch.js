// Keeps the tracking page current: each change of the message comes as one event, and is written as text.
"use strict";
{
  const message = document.querySelector("[data-stream]");
  const part = (name) => message.querySelector(`[data-part=${name}]`);
  function shown(line) {
    const item = document.createElement("li");
    item.classList.toggle("bad", line.is_bad);
    const at = document.createElement("time");
    at.textContent = line.occurred_at;
    const sentence = document.createElement("span");
    sentence.textContent = line.sentence;
    item.append(at, " ", sentence);
    if (line.reply) {
      const reply = document.createElement("q");
      reply.textContent = line.reply;
      reply.dir = "ltr";
      item.append(reply);
    }
    return item;
  }
  function show(name, is_shown) {
    for (const one of document.querySelectorAll(`[data-when=${name}]`)) one.hidden = !is_shown;
  }
  if (message && message.dataset.moving === "yes") {
    const source = new EventSource(message.dataset.stream);
    source.addEventListener("changed", (event) => {
      const watched = JSON.parse(event.data);
      if (watched.is_done) return location.reload();
      part("sentence").textContent = watched.sentence;
      part("sentence").dataset.state = watched.state;
      part("sentence").className = `state ${watched.tone}`;
      part("now_do").textContent = watched.now_do;
      part("ends").textContent = watched.ends;
      part("detail").textContent = watched.detail;
      show("coming", watched.is_coming);
      show("stopped", !watched.is_coming);
      part("reroute").hidden = !watched.can_reroute;
      part("lines").replaceChildren(...watched.lines.map(shown));
    });
    source.addEventListener("over", () => source.close());
  }
}
