// Reads whether anything has happened in a call: its own page is loaded again, other pages of the account say so.
"use strict";
{
  const watched = document.querySelector("[data-support]");
  const banner = document.querySelector("[data-asked]");
  const typing = () => [...document.querySelectorAll("main input:not([type=hidden])")].some((one) => one.value);

  async function look() {
    const answer = await fetch(watched.dataset.support, { headers: { Accept: "application/json" } });
    if (!answer.ok) return;
    const { state } = await answer.json();
    if (banner) banner.hidden = !state || state.startsWith(":");
    else if (state !== watched.dataset.state && !typing()) location.reload();
  }

  if (watched) {
    setInterval(() => { if (!document.hidden) look().catch(() => undefined); }, Number(watched.dataset.every));
  }
}
