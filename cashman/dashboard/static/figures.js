/** Money and days as the reader is used to seeing them. */

/** The reader's kind of the page's language. */
export function locale() {
  const page = document.documentElement.lang;
  return navigator.languages.find((one) => one.split("-")[0] === page.split("-")[0]) || page;
}

/** An amount with its currency and every digit that it has. */
export function money(amount, currency) {
  const style = currency ? { style: "currency", currency } : {};
  const own = new Intl.NumberFormat(locale(), style).resolvedOptions().minimumFractionDigits;
  const digits = (String(amount).split(".")[1] || "").length;
  const minimumFractionDigits = Math.max(own, digits);
  return new Intl.NumberFormat(locale(), { ...style, minimumFractionDigits, maximumFractionDigits: 20 }).format(amount);
}

/** A day, from YYYY-MM-DD; with its weekday where that helps. */
export function day(date, { weekday = false } = {}) {
  const options = { day: "numeric", month: "short", year: "numeric", timeZone: "UTC" };
  if (weekday) options.weekday = "short";
  return new Intl.DateTimeFormat(locale(), options).format(new Date(`${date}T00:00:00Z`));
}
