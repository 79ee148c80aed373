/** An API key is shown once, as it is made. */
import { bodyOf, send } from "./forms.js";
import { tell, word } from "./page.js";

const form = document.querySelector("#make");

form?.addEventListener("submit", (event) => {
  event.preventDefault();
  send(form, bodyOf(form), async (answer) => {
    const made = document.querySelector("#made");
    document.querySelector("#made-key").textContent = (await answer.json()).key;
    made.hidden = false;
    made.focus();
    form.reset();
  });
});

document.querySelector("#copy")?.addEventListener("click", async () => {
  const key = document.querySelector("#made-key");
  getSelection().selectAllChildren(key);
  if (navigator.clipboard) await navigator.clipboard.writeText(key.textContent);
  else document.execCommand("copy"); // a page that did not come by https has no clipboard
  tell(word("copied"));
});
