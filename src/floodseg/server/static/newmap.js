/** Form that starts a map from files, or from a place and a date. Settings and explanations come from the server. */

import { postJson } from "./api.js";
import { element, guarded } from "./dom.js";
import { FilePicker } from "./filepicker.js";

/** Settings that are not folded away. */
const FIRST = ["sar", "optical", "place", "date", "radius", "model"];
const KINDS = [["predict", "Files on this computer"], ["map", "A place and a date"]];

/** Panel with the form; `onStart(job)` is called with the new job. */
export function newMapPanel(info, onStart) {
  const picker = new FilePicker(info.folders);
  const kinds = info.allow_remote ? KINDS : KINDS.slice(0, 1);
  const fields = element("div", {});
  let inputs = [];
  let kind = "predict";
  const show = (chosen) => {
    kind = chosen;
    const settings = kind === "map" ? info.map_settings : info.settings;
    inputs = settings.map((setting) => field(setting, picker));
    const nodes = (first) => inputs.filter(({ name }) => FIRST.includes(name) === first).map(({ node }) => node);
    fields.replaceChildren(...nodes(true), element("details", {}, element("summary", {}, "More settings"), nodes(false)));
  };
  const name = element("input", { id: "job-name", required: true, maxlength: 80, value: defaultName() });
  const send = async (event) => {
    event.preventDefault();
    const settings = Object.fromEntries(inputs.map(({ name, read }) => [name, read()]).filter(([, value]) => value !== null));
    onStart(await postJson("api/jobs", { kind, name: name.value, settings }));
  };
  show(kind);
  return [
    element("h1", {}, "New map"),
    element(
      "form", { onsubmit: guarded(send), "aria-label": "New map" },
      kinds.length > 1 ? kindChoice(kinds, show) : null,
      element("div", { class: "field" }, element("label", { for: "job-name" }, "Name of the map"), name, help("name", "Name of the new folder.")),
      fields,
      element("button", { class: "primary" }, "Start"),
    ),
    picker.dialog,
  ];
}

function defaultName() {
  return `map-${new Date().toISOString().slice(0, 19).replaceAll(/[-:]/g, "").replace("T", "-")}`;
}

function kindChoice(kinds, show) {
  const radio = ([value, text], i) =>
    element("label", {}, element("input", { type: "radio", name: "kind", value, checked: i === 0, onchange: () => show(value) }), ` ${text}`);
  return element("fieldset", {}, element("legend", {}, "Images from"), kinds.map(radio));
}

function help(name, text) {
  return element("p", { class: "help", id: `help-${name}` }, text);
}

/** A setting with its label and explanation; `read()` returns its value, or null if it is not set. */
function field(setting, picker) {
  const id = `setting-${setting.name}`;
  const common = { id, "aria-describedby": setting.help ? `help-${setting.name}` : null };
  const { input, extra, read } = MAKERS[setting.type](setting, common, picker);
  const label = element("label", { for: id }, setting.title);
  const node = element("div", { class: `field ${setting.type}` }, label, input, extra ?? null, setting.help ? help(setting.name, setting.help) : null);
  return { name: setting.name, node, read };
}

const unlessDefault = (value, setting) => (value === (setting.default ?? null) ? null : value);

const MAKERS = {
  text(setting, common) {
    const input = element("input", { ...common, type: "text", value: setting.default ?? "" });
    return { input, read: () => unlessDefault(input.value.trim() || null, setting) };
  },
  number(setting, common) {
    const input = element("input", { ...common, type: "number", step: "any", value: setting.default ?? "" });
    return { input, read: () => unlessDefault(input.value === "" ? null : Number(input.value), setting) };
  },
  bool(setting, common) {
    const input = element("input", { ...common, type: "checkbox", checked: setting.default === true });
    return { input, read: () => unlessDefault(input.checked, { default: setting.default ?? false }) };
  },
  choice(setting, common) {
    const none = setting.default === null || setting.default === undefined ? [element("option", { value: "" }, "–")] : [];
    const options = setting.choices.map((choice) => element("option", { value: choice, selected: choice === setting.default }, choice));
    const input = element("select", common, none, options);
    return { input, read: () => unlessDefault(input.value || null, setting) };
  },
  file(setting, common, picker) {
    const input = setting.multiple
      ? element("textarea", { ...common, rows: 2, spellcheck: "false" })
      : element("input", { ...common, type: "text", spellcheck: "false", value: setting.default ?? "" });
    const take = (path) => {
      input.value = setting.multiple && input.value.trim() ? `${input.value.trim()}\n${path}` : path;
      input.focus();
    };
    const choose = guarded(() => picker.open(setting.title, take));
    const extra = element("button", { type: "button", onclick: choose, "aria-label": `Choose a file: ${setting.title}` }, "Choose …");
    const read = () => {
      const paths = input.value.split("\n").map((path) => path.trim()).filter(Boolean);
      if (!paths.length) return null;
      return setting.multiple ? paths : unlessDefault(paths[0], setting);
    };
    return { input, extra, read };
  },
};
