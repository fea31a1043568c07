// What else there is to know of the board: today's record, its condition, its settings.

import { barRow, byId, duration, fillBar, hue, made, percent, setText, shape } from "./basics.js";
import { address, emotionName, word } from "./words.js";

async function fetched(path) {
  try {
    const answer = await fetch(address(path));
    return answer.ok ? await answer.json() : null;
  } catch {
    return null;
  }
}

/** Today's sums from the record. */
export async function showToday() {
  const today = await fetched("/today.json");
  const total = today ? Object.values(today.seconds).reduce((sum, seconds) => sum + seconds, 0) : 0;
  for (const id of ["day", "day-ends"]) byId(id).toggleAttribute("hidden", total === 0);
  if (total === 0) {
    setText(byId("today-said"), word("page_today_nobody"));
    byId("today-shares").replaceChildren();
    return;
  }
  const facts = [
    ["page_in_view", duration(today.present)],
    ["page_watched", duration(Math.max(today.watched, today.present))],
    ["page_changes", today.changed],
  ];
  setText(byId("today-said"), facts.map(([key, value]) => `${word(key)}: ${value}`).join(" · "));
  byId("day").replaceChildren(...today.slots.flatMap((slot) => column(slot, today.slot_minutes)));
  const shares = Object.entries(today.seconds).map(([emotion, seconds]) => [emotion, seconds / total]);
  byId("day").setAttribute(
    "aria-label",
    `${word("page_today")}: ${shares.map(([emotion, share]) => `${emotionName(emotion)} ${percent(share)}`).join(", ")}`,
  );
  byId("today-shares").replaceChildren(
    ...shares.map(([emotion, share]) => {
      const row = barRow(emotion);
      fillBar(row, share, percent(share));
      return row;
    }),
  );
}

const LEAST = 4;

/** One slot of the day as a column: its height is the share of the slot with a face in view, divided by emotions. */
function column(slot, minutes) {
  const [hour, minute] = slot.start.slice(11, 16).split(":").map(Number);
  const all = Object.values(slot.seconds).reduce((sum, seconds) => sum + seconds, 0);
  const present = Math.min(1, (slot.present ?? all) / (minutes * 60));
  const high = Math.max(LEAST, present * 100);
  let y = 100;
  return Object.entries(slot.seconds).map(([emotion, seconds]) => {
    const height = (seconds / all) * high;
    y -= height;
    const x = (hour * 60 + minute) / 15;
    return shape("rect", { x, y: y.toFixed(2), width: minutes / 15, height: height.toFixed(2) }, hue(emotion));
  });
}

/** A state of a part: its first word in the page's language where it has one; what follows is as in the log, English. */
function stateText(text) {
  const [first, ...rest] = text.split(": ");
  const known = { online: "health_online", connected: "health_connected", written: "health_written", paused: "health_paused" };
  return [known[first] ? word(known[first]) : first, ...rest].join(": ");
}

const NAMES = { MQTT: "MQTT", Record: "health_record" };

/** How the board does: the message `stats`, and its parts in words. Figures of the analysis only while it runs. */
export function showHealth({ state, problem, stats, health }) {
  const facts = [["health_camera", stateText(stats ? stats.camera : problem || "online")]];
  facts.push(...Object.entries(health).map(([name, text]) => [NAMES[name] || name, stateText(text)]));
  if (stats) {
    const ms = (value) => `${value.toFixed(1)} ms`;
    facts.push(["health_model", stats.model], ["health_interpreter", stats.interpreter]);
    if (state === "running") {
      const stages = Object.entries(stats.stages_ms).map(([name, value]) => `${name} ${ms(value)}`);
      if (stages.length) facts.push(["health_stages", stages.join(", ")]);
      const { p50, p95 } = stats.latency_ms;
      if (p95 !== undefined) facts.push(["page_delay", word("health_delay", { half: ms(p50), most: ms(p95) })]);
      const limit = stats.rate_limit === null ? [] : [word("health_limit", { rate: stats.rate_limit.toFixed(1) })];
      facts.push(["health_pace", [word(`health_pace_${stats.pace}`), ...limit].join(": ")]);
    }
    const frames = [word("health_frames_text", stats), ...(stats.bad ? [word("health_frames_bad", stats)] : [])];
    facts.push(["health_frames", frames.join(", ")]);
    if (stats.throttled !== null) facts.push(["health_power", word(stats.throttled ? "health_throttled" : "health_normal")]);
    if (stats.server !== null) facts.push(["health_classified", word("health_server", { state: stateText(stats.server) })]);
    facts.push(["health_uptime", duration(stats.uptime)]);
  }
  const list = byId("health-list");
  if (list.children.length !== facts.length) {
    list.replaceChildren(...facts.map(() => made("div", "", made("dt"), made("dd"))));
  }
  for (const [index, [name, value]] of facts.entries()) {
    const [term, told] = list.children[index].children;
    setText(term, word(name));
    setText(told, value);
  }
}

const valueText = (value) => (value === null || value === "" ? "empty" : String(value));

/** Every setting, by section; those that differ from the default are marked. */
export async function showSettings() {
  const sections = await fetched("/settings.json");
  byId("settings").hidden = sections === null;
  if (sections === null) return;
  byId("sections").replaceChildren(
    ...Object.entries(sections).map(([section, rows]) => {
      const changed = rows.filter((row) => row.changed).length;
      const summary = made("summary", section);
      if (changed) summary.append(made("span", word("page_changed", { count: changed })));
      const list = made("dl");
      for (const row of rows) {
        const value = made("dd", "", made("code", valueText(row.value)));
        if (row.changed) value.append(made("strong", "changed"));
        list.append(made("div", "", made("dt", row.name), value, made("dd", row.about)));
      }
      return made("details", "", summary, list);
    }),
  );
}
