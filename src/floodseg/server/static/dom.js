/** Elements, messages and formats of the page. */

/**
 * Make an element. Attributes that are functions become listeners (`onclick`), those that are null or false are left
 * out. Children are elements or text; null is left out.
 */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name.slice(2), value);
    else if (name === "style") made.style.cssText = value; // allowed by the content policy, unlike the attribute
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

/** A section that can be folded, with a heading. */
export function section(title, { open = true, name = null } = {}, ...children) {
  const heading = element("summary", {}, element("h2", {}, title));
  return element("details", { open, "data-section": name }, heading, ...children);
}

/** Say a text to screen readers, without a change of the focus. */
export function announce(text) {
  document.getElementById("status").textContent = text;
}

/** Show the sentence of an error until it is closed or the page changes. */
export function showError(error) {
  const box = document.getElementById("error");
  box.querySelector("p").textContent = error.message;
  box.hidden = false;
}

export function clearError() {
  document.getElementById("error").hidden = true;
}

/** Run a function of a listener, and show its error. */
export function guarded(action) {
  return async (...values) => {
    clearError();
    try {
      return await action(...values);
    } catch (error) {
      showError(error);
    }
  };
}

/** A number with at most `digits` decimals, or a dash for null. */
export function formatNumber(value, digits = 2) {
  if (value === null || value === undefined) return "–";
  return new Intl.NumberFormat("en", { maximumFractionDigits: digits }).format(value);
}

/** A time in UTC, `2024-10-19 05:27 UTC`, or the text as it is. */
export function formatDate(text) {
  if (!text) return "no date";
  const time = new Date(text);
  return Number.isNaN(time.getTime()) ? text : `${time.toISOString().slice(0, 16).replace("T", " ")} UTC`;
}

/** A duration in words, `about 3 min`. */
export function formatDuration(seconds) {
  if (seconds < 90) return `${Math.ceil(seconds)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${formatNumber(seconds / 3600, 1)} h`;
}

export function formatBytes(bytes) {
  if (bytes < 1e6) return `${formatNumber(Math.max(bytes / 1e3, 0.1), 1)} kB`;
  return bytes < 1e9 ? `${formatNumber(bytes / 1e6, 1)} MB` : `${formatNumber(bytes / 1e9, 1)} GB`;
}

/** Run a classic script, which adds itself to the global object. */
export function loadScript(path) {
  return new Promise((resolve, reject) => {
    const refuse = () => reject(new Error(`${path} cannot be loaded; reload the page`));
    document.head.append(element("script", { src: path, onload: resolve, onerror: refuse }));
  });
}
