/** The menu of every page: the language, and signing out. */
import { ask, tell } from "./page.js";

const menu = document.querySelector(".menu");

menu?.addEventListener("click", async (event) => {
  const button = event.target.closest("button");
  if (button?.dataset.language) {
    const secure = location.protocol === "https:" ? "; secure" : "";
    document.cookie = `cashman-language=${button.dataset.language}; path=/; max-age=31536000; samesite=lax${secure}`;
    location.reload();
  } else if (button?.id === "sign-out") {
    try {
      await ask("DELETE", "/pages/session", { prefix: "" });
      location.assign("/pages/sign-in");
    } catch (error) {
      tell(error.message);
    }
  }
});

document.addEventListener("click", (event) => {
  if (menu?.open && !menu.contains(event.target)) menu.open = false;
});

menu?.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && menu.open) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});
