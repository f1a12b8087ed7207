// Keys for the buttons. Without this script the page works by mouse, touch, tab and access keys.
"use strict";
const comment = document.getElementById("comment");
document.querySelectorAll(".keys").forEach((told) => { told.hidden = false; });
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (event.target.matches("input:not([type=checkbox]), textarea, select")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const key = event.key.toLowerCase();
  if (comment && key === (comment.accessKey || "c")) {
    event.preventDefault();
    comment.focus();
    return;
  }
  const button = document.querySelector(`:is(button, input)[data-key="${CSS.escape(key)}"]:not(:disabled)`);
  if (button) {
    event.preventDefault();
    button.click();
  }
});
// A second click while the first is on its way would be a vote on a ballot that nobody has read.
document.addEventListener("submit", (event) => {
  if (document.body.dataset.sent) event.preventDefault();
  document.body.dataset.sent = "yes";
});
window.addEventListener("pageshow", () => { delete document.body.dataset.sent; });
