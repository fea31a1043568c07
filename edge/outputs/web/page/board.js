// What else there is to know of the board: today's record, its health, its settings.

import { barRow, byId, duration, hue, made, percent, say, shape } from "./basics.js";

async function fetched(path) {
  try {
    const answer = await fetch(path);
    return answer.ok ? await answer.json() : null;
  } catch {
    return null;
  }
}

/** Today's sums from the record; recorded: whether there is one. */
export async function showToday(recorded) {
  const today = recorded ? await fetched("/today.json") : null;
  const total = today ? Object.values(today.seconds).reduce((sum, seconds) => sum + seconds, 0) : 0;
  if (!recorded) {
    say(byId("today-said"), "Nothing is recorded. With record.enabled: true, emotions and times are, and never a picture.");
  } else if (!today || total === 0) {
    say(byId("today-said"), "Nobody was seen today so far. The record is up to a minute behind.");
  } else {
    const of = today.watched > today.present ? ` of ${duration(today.watched)}` : "";
    const times = today.changed === 1 ? "once" : `${today.changed} times`;
    say(byId("today-said"), `A face was in view for ${duration(today.present)}${of}; emotions changed ${times}.`);
  }
  for (const id of ["day", "day-ends"]) byId(id).toggleAttribute("hidden", total === 0);
  if (total === 0) {
    byId("today-shares").replaceChildren();
    return;
  }
  byId("day").replaceChildren(...today.slots.flatMap((slot) => column(slot, today.slot_minutes)));
  byId("today-shares").replaceChildren(
    ...Object.entries(today.seconds).map(([emotion, seconds]) => {
      const row = barRow(emotion);
      row.style.setProperty("--share", (seconds / total).toFixed(3));
      say(row.querySelector(".share"), percent(seconds / total));
      return row;
    }),
  );
}

/** One slot of the day as a column: the share of its time with a face in view is its height. */
function column(slot, minutes) {
  const [hour, minute] = slot.start.slice(11, 16).split(":").map(Number);
  const width = minutes / 15;
  const x = (hour * 60 + minute) / 15;
  const all = Object.values(slot.seconds).reduce((sum, seconds) => sum + seconds, 0);
  let y = 100;
  return Object.entries(slot.seconds).map(([emotion, seconds]) => {
    const height = (seconds / all) * 100;
    y -= height;
    return shape("rect", { x, y: y.toFixed(2), width, height: height.toFixed(2) }, hue(emotion));
  });
}

const PACES = {
  full: "as fast as frames come",
  limited: "limited by pace.max_fps",
  hot: "slower, the board is hot",
  idle: "slower, nobody is there",
  night: "slower, it is dark and nobody is there",
};

/** How the daemon does: the message `stats`, and its parts in words. */
export function showHealth({ live, problem, stats, health }) {
  const facts = [["Camera", stats ? stats.camera : live ? "online" : problem]];
  facts.push(...Object.entries(health));
  if (stats) {
    const ms = (value) => `${value.toFixed(1)} ms`;
    const stages = Object.entries(stats.stages_ms).map(([name, value]) => `${name} ${ms(value)}`);
    facts.push(["Model", stats.model], ["Interpreter", stats.interpreter]);
    if (stages.length) facts.push(["Stages", stages.join(", ")]);
    if ("p95" in stats.latency_ms) facts.push(["Delay", `${ms(stats.latency_ms.p50)}, 95 of 100 within ${ms(stats.latency_ms.p95)}`]);
    facts.push(["Frames", `${stats.captured} seen, ${stats.dropped} skipped to stay up to date`]);
    if (stats.throttled !== null) facts.push(["Power and heat", stats.throttled ? "slowed down by the firmware" : "well"]);
    const limit = stats.rate_limit === null ? "" : `: ${stats.rate_limit.toFixed(1)} frames a second at most`;
    facts.push(["Pace", `${PACES[stats.pace] || stats.pace}${limit}`]);
    if (stats.server !== null) facts.push(["Classified by", `a server, ${stats.server}`]);
    facts.push(["Running for", duration(stats.uptime)]);
  }
  const list = byId("health-list");
  if (list.children.length !== facts.length) {
    list.replaceChildren(...facts.map(() => made("div", "", made("dt"), made("dd"))));
  }
  for (const [index, [name, value]] of facts.entries()) {
    const [term, told] = list.children[index].children;
    say(term, name);
    say(told, value);
  }
}

const valueText = (value) => (value === null || value === "" ? "empty" : String(value));

/** Every setting, by section; those that differ from the default are marked. Gives back what sends pictures elsewhere. */
export async function showSettings() {
  const sections = await fetched("/settings.json");
  byId("settings").hidden = sections === null;
  if (sections === null) return [];
  byId("sections").replaceChildren(
    ...Object.entries(sections).map(([section, rows]) => {
      const changed = rows.filter((row) => row.changed).length;
      const summary = made("summary", section);
      if (changed) summary.append(made("span", `${changed} changed`));
      const list = made("dl");
      for (const row of rows) {
        const value = made("dd", "", made("code", valueText(row.value)));
        if (row.changed) value.append(made("strong", "changed"));
        list.append(made("div", "", made("dt", row.name), value, made("dd", row.about)));
      }
      return made("details", "", summary, list);
    }),
  );
  const used = Object.values(sections).flat().filter((row) => row.value).map((row) => row.name);
  return ["emotion.server", "mqtt.snapshots"].filter((name) => used.includes(name));
}
