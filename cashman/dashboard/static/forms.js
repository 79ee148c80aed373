/** Forms and buttons that ask the API for something: what they ask stands in their markup.
 *
 * data-method and data-path say what is asked; {name} in the path is the field of that name. data-then is where to go
 * then, or "reload"; data-said is the word that is told then; data-confirm is what is asked before.
 */
import { ask, tell, word } from "./page.js";

/** The JSON that a form's fields come to. */
export function bodyOf(form) {
  const body = {};
  for (const field of form.elements) {
    if (!field.name || "inPath" in field.dataset) continue;
    if (field.type === "checkbox") body[field.name] = field.checked;
    else if (field.value !== "") body[field.name] = "instant" in field.dataset ? `${field.value}T00:00:00Z` : field.value;
    else if ("empty" in field.dataset) body[field.name] = JSON.parse(field.dataset.empty);
    else body[field.name] = "";
  }
  return body;
}

/** Show what is wrong: beside each field that is to blame, else for all of the form; the first of them gets the focus. */
export function blame(form, error) {
  forgive(form);
  const rest = [];
  for (const [name, rules] of Object.entries(error.errors ?? {})) {
    const field = form.elements.namedItem(name);
    const text = [rules].flat().join(" ");
    if (!(field instanceof Element) || field.type === "hidden") {
      rest.push(`${name}: ${text}`);
      continue;
    }
    const told = document.createElement("p");
    told.className = "error";
    told.id = `${field.id}-error`;
    told.textContent = text;
    field.after(told);
    field.setAttribute("aria-invalid", "true");
    field.setAttribute("aria-describedby", `${told.id} ${field.getAttribute("aria-describedby") ?? ""}`.trim());
  }
  const whole = form.querySelector(":scope > .error[role=alert]");
  if (rest.length || !Object.keys(error.errors ?? {}).length) rest.unshift(error.message);
  if (whole) whole.textContent = rest.join(" ");
  else if (rest.length) tell(rest.join(" "));
  form.querySelector("[aria-invalid=true]")?.focus();
}

/** Take back what was blamed before. */
export function forgive(form) {
  for (const field of form.querySelectorAll("[aria-invalid]")) {
    field.removeAttribute("aria-invalid");
    const others = (field.getAttribute("aria-describedby") ?? "").split(" ").filter((id) => id !== `${field.id}-error`);
    if (others.join("")) field.setAttribute("aria-describedby", others.join(" "));
    else field.removeAttribute("aria-describedby");
    document.getElementById(`${field.id}-error`)?.remove();
  }
  const whole = form.querySelector(":scope > .error[role=alert]");
  if (whole) whole.textContent = "";
}

/** Run something for a form or button, once at a time; what the API refuses is shown. */
export async function run(element, work) {
  const buttons = element.matches("form") ? element.querySelectorAll("button") : [element];
  if ([...buttons].some((button) => button.disabled)) return;
  for (const button of buttons) button.disabled = true;
  try {
    await work();
  } catch (error) {
    for (const button of buttons) button.disabled = false;
    if (element.matches("form")) blame(element, error);
    else tell([error.message, ...Object.values(error.errors ?? {}).flat()].join(" "));
  } finally {
    for (const button of buttons) button.disabled = false;
  }
}

/** Ask what an element says, and do what it says then; `made` is told of the answer. */
export function send(element, body, made = () => {}) {
  const { method, path, then, said, email } = element.dataset;
  return run(element, async () => {
    const filled = path.replace(/\{(\w+)\}/g, (_, name) => encodeURIComponent(element.elements.namedItem(name).value));
    const answer = await ask(method, filled, { body, prefix: "" });
    if (element.matches("form")) forgive(element);
    await made(answer);
    if (then === "sign-in") {
      await ask("POST", "/pages/session", { body: { email, password: body.password }, prefix: "" });
      element.reset();
      element.closest("details")?.removeAttribute("open");
    }
    if (said) tell(word(said));
    if (then === "reload") location.reload();
    else if (then?.startsWith("/")) location.assign(then);
  });
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.dataset.method || event.defaultPrevented) return;
  event.preventDefault();
  send(form, bodyOf(form));
});

document.addEventListener("click", (event) => {
  const button = event.target.closest?.("button[data-method]");
  if (!button || (button.dataset.confirm && !confirm(button.dataset.confirm))) return;
  send(button, button.dataset.body && JSON.parse(button.dataset.body));
});
