// Passkeys. A form with data-passkey ("create" or "get") fetches its options from data-options when it is sent, asks the
// browser, and is sent on with the response. A form for "get" also offers passkeys among the suggestions of the field
// for the address, where the browser can do that.
"use strict";
{
  const RENEWED_MS = 4 * 60 * 1000; // A challenge is valid for five minutes.
  const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
  const text = (buffer) =>
    btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  const listed = (given) => (given ?? []).map((one) => ({ ...one, id: bytes(one.id) }));
  let suggesting = null;

  async function begin(form) {
    const body = new URLSearchParams();
    for (const field of form.querySelectorAll("[name=form_token], [name=account]")) body.set(field.name, field.value);
    const answer = await fetch(form.dataset.options, { method: "POST", body });
    if (!answer.ok) throw new Error(String(answer.status));
    const { ceremony, options } = await answer.json();
    form.elements.ceremony.value = ceremony;
    options.challenge = bytes(options.challenge);
    if (options.user) options.user.id = bytes(options.user.id);
    options.excludeCredentials = listed(options.excludeCredentials);
    options.allowCredentials = listed(options.allowCredentials);
    return options;
  }

  function asJson({ id, rawId, type, response }) {
    const sent = { clientDataJSON: text(response.clientDataJSON) };
    if (response.attestationObject) {
      sent.attestationObject = text(response.attestationObject);
      sent.transports = response.getTransports ? response.getTransports() : [];
    } else {
      sent.authenticatorData = text(response.authenticatorData);
      sent.signature = text(response.signature);
      sent.userHandle = response.userHandle ? text(response.userHandle) : null;
    }
    return JSON.stringify({ id, rawId: text(rawId), type, response: sent, clientExtensionResults: {} });
  }

  function send(form, credential) {
    form.elements.response.value = asJson(credential);
    form.submit();
  }

  async function suggest(form) {
    if (!(await PublicKeyCredential.isConditionalMediationAvailable?.())) return;
    suggesting = new AbortController();
    const { signal } = suggesting;
    const renew = setTimeout(() => suggesting.abort("renewed"), RENEWED_MS);
    try {
      const publicKey = await begin(form);
      if (signal.aborted) return;
      const found = await navigator.credentials.get({ publicKey, mediation: "conditional", signal });
      if (found) send(form, found);
    } catch (ended) {
      if (signal.reason === "renewed") suggest(form);
    } finally {
      clearTimeout(renew);
    }
  }

  for (const form of document.querySelectorAll("form[data-passkey]")) {
    if (!window.PublicKeyCredential) continue;
    form.hidden = false;
    for (const other of document.querySelectorAll("[data-without-passkeys]")) other.hidden = true;
    const creates = form.dataset.passkey === "create";
    const failed = form.querySelector("[data-failed]");
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      if (form.dataset.busy) return;
      form.dataset.busy = "yes";
      failed.hidden = true;
      suggesting?.abort("button");
      try {
        const publicKey = await begin(form);
        const found = await navigator.credentials[creates ? "create" : "get"]({ publicKey });
        return send(form, found);
      } catch (refused) {
        failed.hidden = false;
        failed.focus();
      }
      delete form.dataset.busy;
      if (!creates) suggest(form);
    });
    if (!creates) suggest(form);
  }

  const list = document.querySelector("[data-passkeys]");
  if (list && window.PublicKeyCredential?.signalAllAcceptedCredentials) {
    const { rpId, userId, passkeys } = list.dataset;
    const known = { rpId, userId, allAcceptedCredentialIds: passkeys ? passkeys.split(" ") : [] };
    PublicKeyCredential.signalAllAcceptedCredentials(known).catch(() => {});
  }
}
