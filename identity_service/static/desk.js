// Keeps the parts of a console page that are marked as live fresh; whatever somebody is typing in is left alone.
"use strict";
{
  const EVERY_MS = 2000;
  const SOON_MS = 900; // While a caller is asked.
  const typing = (part) => part.contains(document.activeElement) && part !== document.activeElement;
  const marked = (root) => [...root.querySelectorAll("[data-live]")];

  function renew(old, fresh) {
    for (const one of fresh.querySelectorAll("details[data-key]")) {
      const same = old.querySelector(`details[data-key="${CSS.escape(one.dataset.key)}"]`);
      if (same) one.open = same.open;
    }
    if (!old.isEqualNode(fresh)) old.replaceChildren(...fresh.childNodes);
  }

  async function look() {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (answer.redirected) return location.reload();
    if (!answer.ok) return undefined;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const old of marked(document)) {
      const fresh = page.querySelector(`[data-live="${CSS.escape(old.dataset.live)}"]`);
      if (fresh && !typing(old)) renew(old, fresh);
    }
    return undefined;
  }

  function count() {
    for (const time of document.querySelectorAll("time[data-seconds]")) {
      const seconds = Number(time.dataset.seconds) + 1;
      time.dataset.seconds = seconds;
      time.textContent = `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
    }
  }

  setInterval(count, 1000);
  if (marked(document).length) {
    const every = document.querySelector("[data-soon]") ? SOON_MS : EVERY_MS;
    setInterval(() => { if (!document.hidden) look().catch(() => undefined); }, every);
  }
}
