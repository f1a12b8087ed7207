// Finding a label among many, and saving by Ctrl+Enter. Without this script all labels are there to be chosen.
"use strict";
const answer = document.getElementById("answer");
const find = document.getElementById("find");
const options = [...document.querySelectorAll("#options .option")];
const several = document.getElementById("options")?.dataset.several === "yes";
const plain = (text) => text.toLocaleLowerCase().replace(/[_-]/g, " ");
let at = null;

function mark(option) {
  if (at) at.classList.remove("at");
  at = option || null;
  if (at) {
    at.classList.add("at");
    at.scrollIntoView({ block: "nearest" });
  }
}

function visible() {
  return options.filter((option) => !option.hidden);
}

// Options whose words begin so, rather than those that have the letters somewhere.
function narrow() {
  const words = plain(find.value).split(/\s+/).filter(Boolean);
  const text = (option) => plain(option.dataset.text);
  const begins = (option) => words.every((word) => text(option).split(/\s+/).some((own) => own.startsWith(word)));
  const holds = (option) => words.every((word) => text(option).includes(word));
  const fits = options.some(begins) ? begins : holds;
  for (const option of options) option.hidden = !fits(option);
  const left = visible();
  document.getElementById("nothing").hidden = left.length > 0;
  mark(words.length ? left[0] : null);
}

function move(by) {
  const left = visible();
  mark(left[Math.min(left.length - 1, Math.max(0, left.indexOf(at) + by))]);
}

function choose() {
  if (at && several) {
    at.querySelector("input").click();
    find.value = "";
    narrow();
  } else if (at) {
    at.click();
  } else if (several) {
    answer.requestSubmit();
  }
}

if (find) {
  find.hidden = find.disabled = false;
  find.focus();
  find.addEventListener("input", narrow);
  find.addEventListener("keydown", (event) => {
    const does = { ArrowDown: () => move(1), ArrowUp: () => move(-1), Enter: choose }[event.key];
    if (!does || event.isComposing) return;
    event.preventDefault();
    does();
  });
}
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && answer) {
    event.preventDefault();
    answer.requestSubmit(answer.querySelector("button[name=save]:not([hidden])"));
  } else if (event.key === "/" && find && !event.target.matches("input, textarea, select")) {
    event.preventDefault();
    find.focus();
  }
});
