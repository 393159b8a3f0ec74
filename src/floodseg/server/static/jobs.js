/** Jobs: progress of the running one, the queue, and what ended. */

import { getJson, remove } from "./api.js";
import { announce, element, formatDuration, guarded, showError } from "./dom.js";

const POLL_MS = 2000;
const ACTIVE = ["queued", "running"];
const STATES = { queued: "waiting", running: "running", done: "finished", failed: "failed", cancelled: "cancelled" };

/** Follows the jobs of the server; `onChange(jobs)` is called after each news, `onDone(job)` when one has ended. */
export class JobWatch {
  jobs = [];
  #events = null;
  #timer = null;

  constructor(onChange, onDone) {
    this.onChange = onChange;
    this.onDone = onDone;
  }

  /** Ask for all jobs, and follow the first active one. */
  async refresh() {
    const { jobs } = await getJson("api/jobs");
    const before = new Map(this.jobs.map((job) => [job.id, job.state]));
    this.jobs = jobs;
    for (const job of this.jobs) {
      if (ACTIVE.includes(before.get(job.id)) && !ACTIVE.includes(job.state)) this.#ended(job);
    }
    this.onChange(this.jobs);
    this.#follow();
  }

  #follow() {
    const active = this.jobs.filter(({ state }) => ACTIVE.includes(state));
    const job = active.find(({ state }) => state === "running") ?? active[0];
    const address = job && new URL(`api/jobs/${job.id}/events`, document.baseURI).href;
    if (address && this.#events?.url === address && this.#events.readyState !== EventSource.CLOSED) return;
    this.#events?.close();
    clearTimeout(this.#timer);
    if (!job) return;
    const events = new EventSource(address);
    this.#events = events;
    events.onmessage = ({ data }) => this.#news(JSON.parse(data));
    // proxies can hold back events, and the stream ends with the job: ask instead
    events.onerror = () => {
      events.close();
      this.#timer = setTimeout(() => this.refresh().catch(showError), POLL_MS);
    };
  }

  #news(job) {
    const known = this.jobs.find(({ id }) => id === job.id);
    const started = known?.state !== job.state;
    this.jobs = this.jobs.map((other) => (other.id === job.id ? job : other));
    this.onChange(this.jobs);
    if (ACTIVE.includes(job.state)) return;
    this.#events.close();
    if (started) this.#ended(job);
    this.refresh().catch(showError);
  }

  #ended(job) {
    announce(`Job ${job.name}: ${STATES[job.state]}`);
    this.onDone(job);
  }
}

/** Panel with all jobs, made once; `update(jobs)` changes it in place, so that the focus stays. */
export class JobPanel {
  #rows = new Map();

  constructor(watch) {
    this.watch = watch;
    this.list = element("ul", { class: "jobs" });
    this.empty = element("p", {}, "No job has run. ", element("a", { href: "#page=new" }, "Start a map"), ".");
    this.content = [element("h1", {}, "Jobs"), this.empty, this.list];
  }

  update(jobs) {
    this.empty.hidden = jobs.length > 0;
    const ids = new Set(jobs.map(({ id }) => id));
    for (const [id, row] of this.#rows) {
      if (ids.has(id)) continue;
      row.node.remove();
      this.#rows.delete(id);
    }
    jobs.forEach((job, i) => {
      if (!this.#rows.has(job.id)) this.#rows.set(job.id, new JobRow(job, this.watch));
      const row = this.#rows.get(job.id);
      row.update(job);
      // rows that are there stay in place, since a moved element loses the focus
      if (!row.node.isConnected) this.list.insertBefore(row.node, this.list.children[i] ?? null);
    });
  }
}

class JobRow {
  constructor(job, watch) {
    this.state = element("span", { class: "state" });
    this.phase = element("p", { class: "phase" });
    this.bar = element("progress", { max: 1, "aria-label": `Progress of ${job.name}` });
    this.left = element("p", { class: "muted" });
    this.error = element("p", { class: "job-error" });
    this.messages = element("pre", {});
    this.log = element("details", {}, element("summary", {}, "Messages"), this.messages);
    const stop = guarded(async () => {
      await remove(`api/jobs/${job.id}`);
      await watch.refresh();
    });
    this.cancel = element("button", { type: "button", onclick: stop, "aria-label": `Cancel ${job.name}` }, "Cancel");
    this.open = element("a", { class: "button" }, "Open the map");
    const head = element("div", { class: "job-head" }, element("h2", {}, job.name), this.state);
    const parts = [head, this.phase, this.bar, this.left, this.error, this.cancel, this.open, this.log];
    this.node = element("li", { "data-job": job.id }, parts);
  }

  update(job) {
    const active = ACTIVE.includes(job.state);
    const place = job.state === "queued" && job.position ? `, place ${job.position} in the queue` : "";
    this.node.dataset.state = job.state;
    this.state.textContent = STATES[job.state] + place;
    this.phase.textContent = job.state === "running" ? (job.phase ?? "") : "";
    this.bar.hidden = job.state !== "running";
    if (job.share === null || job.share === undefined) this.bar.removeAttribute("value");
    else this.bar.value = job.share;
    this.left.textContent = active ? timeText(job) : job.seconds ? `took ${formatDuration(job.seconds)}` : "";
    this.error.textContent = job.error ?? "";
    this.cancel.hidden = !active;
    this.open.hidden = !job.scene;
    if (job.scene) this.open.href = `#scene=${encodeURIComponent(job.scene)}`;
    this.messages.textContent = (job.messages ?? []).join("\n");
    this.log.hidden = !job.messages?.length;
  }
}

function timeText({ share, seconds, seconds_left: left }) {
  const parts = [];
  if (share !== null && share !== undefined) parts.push(`${Math.round(100 * share)} %`);
  if (seconds) parts.push(`${formatDuration(seconds)} so far`);
  if (left !== null && left !== undefined) parts.push(`about ${formatDuration(left)} left`);
  return parts.join(", ");
}
