/** What every script of a page needs: its words, a request to the API, and how people are told what came of it. */

/** A text of this page's language from its `words`, with its {parameters} filled in. */
export function word(name, parameters = {}) {
  const found = document.querySelector(`.words > [value="${CSS.escape(name)}"]`);
  if (!found) throw new Error(`the page has no word ${name}`);
  return found.textContent.replace(/\{(\w+)\}/g, (whole, parameter) => String(parameters[parameter] ?? whole));
}

/** A problem (RFC 9457) that the API answered with; `errors` is keyed by field. */
export class Problem extends Error {
  constructor(document) {
    super(document.detail || document.title);
    this.status = document.status;
    this.type = document.type;
    this.title = document.title;
    this.errors = document.errors || {};
  }
}

/** The rules of a problem's `errors`, however deep they lie. */
export function rulesOf(errors) {
  if (typeof errors === "string") return [errors];
  return (Array.isArray(errors) ? errors : Object.values(errors)).flatMap(rulesOf);
}

/** Why something could not be done, in one text; `offline` is what is said where no answer came. */
export function reasonOf(error, offline) {
  if (!(error instanceof Problem)) return offline;
  const rules = rulesOf(error.errors);
  return rules.length ? rules.join(" ") : error.message;
}

/** Lines of text, each as a paragraph. */
export function paragraphs(lines) {
  return lines.map((line) => Object.assign(document.createElement("p"), { textContent: line }));
}

/** Ask the API about this page's ledger, or with another `prefix` about anything; gives the Response, and throws the
 * Problem that it answers with. Cashman-Page says that one of our own pages asks, so that the session's cookie counts;
 * who is nobody any more is sent to sign in, and from there back. */
export async function ask(method, path, { body, headers = {}, prefix = document.documentElement.dataset.prefix } = {}) {
  const json = body !== undefined && !(body instanceof Blob || body instanceof FormData);
  const response = await fetch(prefix + path, {
    method,
    headers: {
      Accept: "application/json",
      "Accept-Language": document.documentElement.lang,
      "Cashman-Page": "1",
      ...(json && { "Content-Type": "application/json" }),
      ...headers,
    },
    body: json ? JSON.stringify(body) : body,
  });
  if (response.ok) return response;
  let problem;
  try {
    problem = await response.json();
  } catch {
    problem = { title: `${response.status} ${response.statusText}`, status: response.status };
  }
  if (["/problems/unauthenticated", "/problems/invalid-token"].includes(problem.type)) {
    location.assign(`/pages/sign-in?next=${encodeURIComponent(location.pathname + location.search)}`);
  }
  throw new Problem(problem);
}

/** Tell something for a while, and to screen readers; `action` is what can be done about it: {label, run}. */
export function tell(text, action) {
  const place = document.getElementById("told");
  const told = document.createElement("p");
  told.textContent = text;
  if (action) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = action.label;
    button.addEventListener("click", () => {
      told.remove();
      action.run();
    });
    told.append(" ", button);
  }
  place.replaceChildren(told);
  let left = setTimeout(() => told.remove(), 10_000);
  told.addEventListener("focusin", () => clearTimeout(left));
  told.addEventListener("focusout", () => {
    left = setTimeout(() => told.remove(), 10_000);
  });
}
