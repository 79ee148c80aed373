/** Signing in, and making the first user. */
import { bodyOf, forgive, run } from "./forms.js";
import { ask } from "./page.js";

const form = document.querySelector("form[data-entrance]");

/** Go to where one wanted to go: a path of this very service. */
function go() {
  const wanted = new URL(form.dataset.next, location.origin);
  location.replace(wanted.origin === location.origin ? wanted.href : "/");
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  run(form, async () => {
    forgive(form);
    const body = bodyOf(form);
    if (form.dataset.entrance === "set-up") await ask("POST", "/users", { body, prefix: "" });
    await ask("POST", "/pages/session", { body: { email: body.email, password: body.password }, prefix: "" });
    go();
  });
});

// Who follows a link of another site brings no cookie, and may be signed in all the same.
if (form.dataset.entrance === "sign-in") {
  const asked = await fetch("/ledgers", { headers: { Accept: "application/json" } });
  if (asked.ok) go();
}
