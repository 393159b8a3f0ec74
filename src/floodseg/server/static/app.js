/** The page: reads the address, shows the panel that belongs to it, and keeps the address up to date. */

import { getJson } from "./api.js";
import { basemap } from "./basemap.js";
import { announce, clearError, element, guarded, showError } from "./dom.js";
import { JobPanel, JobWatch } from "./jobs.js";
import { MapView } from "./mapview.js";
import { newMapPanel } from "./newmap.js";
import { sceneList } from "./scenes.js";
import { SceneView } from "./sceneview.js";
import { hashOf, readHash } from "./state.js";

const JOBS_POLL_MS = 5000;
const TITLES = { maps: "Finished maps", new: "New map", jobs: "Jobs" };
const panel = document.getElementById("panel");
const information = getJson("api/info");
export const view = new MapView("map", { label: "Map. Arrow keys move it, plus and minus zoom, Enter takes its centre." });
// the basemap waits until the first map is drawn
let firstIsDrawn;
const first = new Promise((resolve) => (firstIsDrawn = resolve));
const surroundings = Promise.all([information, first]).then(([info]) => basemap(info));
export const complete = view.setBasemap(surroundings).catch(showError);
const watch = new JobWatch(onJobs, onJobDone);
const jobPanel = new JobPanel(watch);
let found = { scenes: [], problems: [] };
let opened = null;

/** Show the page that the address names. */
async function route() {
  clearError();
  const state = readHash();
  if (opened && state.scene === opened.scene.id) return opened.apply(state);
  // the focused link goes away with the content of the panel
  if (panel.contains(document.activeElement)) panel.focus();
  opened?.close();
  opened = null;
  markPage(state.page);
  if (state.scene) await openScene(state);
  else if (state.page === "new") panel.replaceChildren(...newMapPanel(await information, onStart));
  else if (state.page === "jobs") showJobs();
  else await showList();
  if (!state.scene) name(TITLES[state.page] ?? TITLES.maps);
  panel.scrollTop = 0;
}

/** Name the page for the window and for screen readers. */
function name(title) {
  document.title = `${title} – floodseg`;
  announce(title);
}

function markPage(page) {
  for (const link of document.querySelectorAll("nav a")) {
    if (link.dataset.page === page) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

async function loadScenes() {
  found = await getJson("api/scenes");
}

async function showList() {
  await loadScenes();
  panel.replaceChildren(...sceneList(found));
  await view.ready;
  const { scenes } = found;
  view.setFootprints(scenes);
  const bounds = scenes.map((scene) => scene.bounds).filter(Boolean);
  if (!bounds.length) return;
  const outer = (axis, pick) => pick(...bounds.map((box) => box[axis]));
  view.fit([outer(0, Math.min), outer(1, Math.min), outer(2, Math.max), outer(3, Math.max)], { maxZoom: 5 });
}

function showJobs() {
  panel.replaceChildren(...jobPanel.content);
  watch.refresh().catch(showError);
}

async function openScene(state) {
  panel.replaceChildren(element("p", {}, "Loading …"));
  const [scene] = await Promise.all([getJson(`api/scenes/${encodeURIComponent(state.scene)}`), loadScenes(), view.ready]);
  view.setFootprints([]);
  opened = new SceneView({ view, basemap: surroundings, panel, scene, scenes: found.scenes });
  await opened.open(state);
  name(`Map ${scene.name}`);
}

function onJobs(jobs) {
  const active = jobs.filter(({ state }) => state === "queued" || state === "running").length;
  const badge = document.getElementById("active-jobs");
  badge.textContent = active;
  badge.hidden = active === 0;
  badge.setAttribute("aria-label", `${active} active`);
  jobPanel.update(jobs);
}

async function onJobDone() {
  const state = readHash();
  if (state.page === "maps" && !state.scene) await showList();
}

function onStart(job) {
  announce(`Job ${job.name} is started`);
  location.hash = "#page=jobs";
  watch.refresh().catch(showError);
}

view.onPick(guarded(async ({ lngLat, point }) => {
  if (opened) return opened.pick(lngLat);
  const id = readHash().page === "maps" ? view.footprintAt(point) : null;
  if (id) location.hash = hashOf({ scene: id });
}));
document.querySelector("#error button").addEventListener("click", clearError);
// another tab or program can start jobs; a server that has ended is reported where something is asked of it
setInterval(() => jobPanel.list.isConnected && watch.refresh().catch(() => {}), JOBS_POLL_MS);
window.addEventListener("hashchange", () => route().catch(failed));

/** A map that cannot be opened: its error, and the list of the others. */
function failed(error) {
  panel.replaceChildren(element("p", {}, element("a", { href: "#" }, "← All maps")));
  showError(error);
}

await route().catch(failed);
await watch.refresh().catch(showError);
await view.drawn();
firstIsDrawn();
