// Keeps a page live: on a server-sent event it reads its own page anew and replaces what is marked `data-live`.
// Nobody's typing, focus or picks are touched. Without this script every page works by loading it again.
"use strict";

(() => {
  const { events, page, every } = document.body.dataset;
  const LEAST_GAP_MS = 300;
  // What the server last sent of each live element, as the parser writes it.
  const sent = new Map();
  for (const element of document.querySelectorAll("[data-live]")) sent.set(element.id, element.innerHTML);

  let busy = false;
  let again = false;

  async function refresh() {
    if (busy) {
      again = true;
      return;
    }
    busy = true;
    try {
      const response = await fetch(page, { headers: { Accept: "text/html" }, cache: "no-store" });
      if (response.redirected) location.assign(response.url);
      else if (response.ok) replace(new DOMParser().parseFromString(await response.text(), "text/html"));
    } catch {
      // The next event or the next tick tries again.
    }
    setTimeout(() => {
      busy = false;
      if (again) {
        again = false;
        refresh();
      }
    }, LEAST_GAP_MS);
  }

  function replace(fresh) {
    for (const element of document.querySelectorAll("[data-live]")) {
      const html = fresh.getElementById(element.id)?.innerHTML;
      if (html === undefined || html === sent.get(element.id)) continue;
      const active = element.contains(document.activeElement) ? document.activeElement : null;
      if (active?.matches("input:not([type=checkbox]), select, textarea")) continue;
      const picked = [...element.querySelectorAll("input:checked")].map((input) => input.id);
      const focused = active?.id;
      element.innerHTML = html;
      sent.set(element.id, html);
      for (const id of picked) {
        const input = document.getElementById(id);
        if (input && !input.disabled) input.checked = true;
      }
      if (focused) document.getElementById(focused)?.focus();
    }
  }

  if (events) {
    const source = new EventSource(events);
    let opened = false;
    source.addEventListener("changed", refresh);
    // Something may have changed while the connection was down.
    source.addEventListener("open", () => {
      if (opened) refresh();
      opened = true;
    });
  }
  if (every) setInterval(() => document.hidden || refresh(), Number(every) * 1000);

  // Seconds that are left count down between refreshes.
  setInterval(() => {
    for (const left of document.querySelectorAll("[data-seconds]")) {
      left.textContent = String(Math.max(0, Number(left.textContent) - 1));
    }
  }, 1000);

  // A machine's screen does not keep what the last customer picked, or was told.
  const form = document.querySelector(".screen form[data-idle]");
  if (form) {
    let timer;
    const restart = () => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        if (form.querySelector("input:checked") || document.querySelector("[role=alert]")) location.replace(page);
      }, Number(form.dataset.idle) * 1000);
    };
    for (const kind of ["pointerdown", "keydown"]) document.addEventListener(kind, restart);
    restart();
  }

  // One press, one order: the answer takes a moment while the machine and the wallet are asked.
  document.getElementById("pick")?.addEventListener("submit", (event) => {
    const pick = event.currentTarget;
    if (pick.dataset.sent) event.preventDefault();
    pick.dataset.sent = "yes";
    pick.classList.add("sent");
  });
  addEventListener("pageshow", () => {
    const pick = document.getElementById("pick");
    if (pick) delete pick.dataset.sent;
    pick?.classList.remove("sent");
  });
})();
