// Replaces what changes on a page by what the console sends. Without it the same page is there, as of when it was asked.
"use strict";

for (const place of document.querySelectorAll("[data-live]")) {
  const note = document.querySelector("[data-live-note]");
  const source = new EventSource(place.dataset.live);
  let kept = null;
  const silence = document.createElement("div");
  place.before(silence);
  // Who reads with a screen reader or a magnifier loses the place at each change: they may stop it.
  const pause = note === null ? null : note.querySelector("button");
  const isPaused = () => pause !== null && pause.getAttribute("aria-pressed") === "true";

  // Whoever types, or has a form open, is not disturbed; nor is a selection.
  const isBusy = () =>
    place.querySelector("details[open]") !== null ||
    (place.contains(document.activeElement) && document.activeElement.matches("input, select, button, summary, a")) ||
    (getSelection().type === "Range" && place.contains(getSelection().anchorNode));

  const show = () => {
    if (kept === null || isPaused()) return;
    if (isBusy()) {
      say("paused while you work here");
      return;
    }
    place.innerHTML = kept;
    kept = null;
    say("live");
  };
  const say = (text) => {
    if (note === null) return;
    note.hidden = false;
    const said = note.querySelector("span");
    if (said.textContent !== text) said.textContent = text;
  };

  source.onmessage = (event) => {
    silence.replaceChildren();
    kept = event.data;
    show();
  };
  // What was told last stays readable while nothing new comes.
  source.addEventListener("silent", (event) => {
    silence.innerHTML = event.data;
    say("not live: the node is asked again");
  });
  source.onerror = () => {
    if (source.readyState === EventSource.CLOSED) say("not live: open the page again");
  };
  if (pause !== null)
    pause.addEventListener("click", () => {
      pause.setAttribute("aria-pressed", String(!isPaused()));
      say(isPaused() ? "paused" : "live");
      show();
    });
  place.addEventListener("focusout", () => setTimeout(show));
  place.addEventListener("toggle", () => setTimeout(show), true);
  addEventListener("pagehide", () => source.close());
}
