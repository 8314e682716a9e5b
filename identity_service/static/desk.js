// Keeps the desk's page fresh while a letter is on its way, unless somebody is typing.
"use strict";
{
  const typing = () => {
    const field = document.activeElement;
    return field && ["INPUT", "TEXTAREA", "SELECT"].includes(field.tagName) && field.value !== "";
  };
  setInterval(() => { if (!typing() && !document.hidden) location.reload(); }, 4000);
}
