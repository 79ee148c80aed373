/** The one-line entry: what a line means is shown as one types, and booked by Enter once it was shown. */
import { day, locale, money } from "./figures.js";
import { ask, paragraphs, reasonOf, rulesOf, tell, word as wordOfPage } from "./page.js";

const PAUSE = 200;
const form = document.getElementById("entry");
const text = document.getElementById("entry-text");
const button = form.querySelector("button");
const list = document.getElementById("entry-parts");
const told = document.getElementById("entry-told");
let shown = null; // the reading that stands there: {text, key, ...}
let waiting = 0;
let asked = null;
let booking = false;

function word(name, parameters) {
  return wordOfPage(`entry-${name}`, parameters);
}

function chip(part, reading) {
  const item = document.createElement("li");
  const name = document.createElement("span");
  const value = document.createElement("strong");
  let label = word(part.field === "amount" ? reading.type.toLowerCase() : part.field);
  if (part.field === "amount") value.textContent = money(part.value, reading.draft.currency);
  else if (part.field === "date") value.textContent = day(part.value, { weekday: true });
  else if (part.field !== "status") value.textContent = part.value ?? part.text;
  name.textContent = label;
  item.className = `chip${part.text === null ? " implied" : ""}${part.value === null ? " unclear" : ""}`;
  item.append(name, " ", value);
  const note = part.value === null ? "unclear" : part.new ? "new" : null;
  if (note) {
    const said = document.createElement("em");
    said.textContent = word(note);
    item.append(" ", said);
  }
  return item;
}

function show(reading) {
  shown = reading;
  const parts = reading.parts.filter((part) => part.field !== "currency");
  list.replaceChildren(...parts.map((part) => chip(part, reading)));
  list.hidden = false;
  button.disabled = reading.post_to === null;
  const rules = rulesOf(reading.errors);
  say([...rules, ...reading.remarks], rules.length > 0);
}

function say(lines, wrong = false) {
  told.className = wrong ? "error" : "quiet small";
  told.replaceChildren(...paragraphs(lines));
}

function clear() {
  clearTimeout(waiting);
  asked?.abort();
  shown = null;
  text.value = "";
  list.replaceChildren();
  list.hidden = true;
  button.disabled = true;
  say([]);
}

/** A key for one booking: the same for the same line, however often it is sent. */
function newKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function read() {
  clearTimeout(waiting);
  asked?.abort();
  const line = text.value;
  if (!line.trim()) {
    clear();
    return null;
  }
  if (shown?.text === line) return shown;
  const mine = (asked = new AbortController());
  try {
    const answer = await ask("GET", `/one-line?${new URLSearchParams({ text: line })}`, {
      headers: { "Accept-Language": locale() },
    });
    const reading = await answer.json();
    if (mine.signal.aborted || text.value !== line) return null;
    show({ ...reading, text: line, key: newKey() });
    return shown;
  } catch (error) {
    if (!mine.signal.aborted) say([reason(error)], true);
    return null;
  }
}

function reason(error) {
  return reasonOf(error, word("offline"));
}

async function book(reading) {
  if (booking) return;
  booking = true;
  button.disabled = true;
  const path = reading.post_to.slice(document.documentElement.dataset.prefix.length);
  try {
    const headers = { Prefer: "return=representation", "Idempotency-Key": reading.key };
    const booked = await (await ask("POST", path, { body: reading.draft, headers })).json();
    if (text.value === reading.text) clear();
    tell(word("booked", { description: booked.description, amount: money(booked.amount, booked.currency) }), {
      label: word("undo"),
      run: () => undo(booked.id),
    });
    changed();
  } catch (error) {
    button.disabled = false;
    say([reason(error)], true);
  } finally {
    booking = false;
  }
  text.focus();
}

async function undo(id) {
  try {
    await ask("DELETE", `/transactions/${id}`);
    tell(word("undone"));
    changed();
  } catch (error) {
    tell(reason(error));
  }
  text.focus();
}

function changed() {
  document.dispatchEvent(new CustomEvent("cashman:changed"));
}

text.addEventListener("input", () => {
  button.disabled = true;
  clearTimeout(waiting);
  waiting = setTimeout(read, PAUSE);
});

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (shown?.text === text.value && shown.post_to !== null) {
    await book(shown);
    return;
  }
  const reading = await read();
  if (reading?.post_to) say([...reading.remarks, word("again")]);
});

text.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && text.value) {
    event.preventDefault();
    clear();
  }
});

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input, textarea, select, dialog, [contenteditable]");
  if (typing || event.ctrlKey || event.metaKey || event.altKey || (event.key !== "n" && event.key !== "/")) return;
  event.preventDefault();
  text.focus();
});

if (text.value) read();
