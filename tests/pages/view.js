/** One page in one size of window: what its reader would stumble over. */

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const COLOURS = ["color-contrast", "link-in-text-block"];
const SEVERE = ["serious", "critical"];

/** Record what a page says and asks for from now on; returns the growing list of findings. */
export function listen(page, origin) {
  const found = [];
  const add = (kind, text) => found.push({ kind, text });
  page.on("console", (message) => {
    // A failed request is a finding of its own, with its address.
    if (message.type() === "error" && !message.text().startsWith("Failed to load resource")) {
      add("console", message.text());
    }
  });
  page.on("pageerror", (error) => add("exception", error.message));
  page.on("request", (request) => {
    const url = request.url();
    if (!url.startsWith(origin) && !/^(data|blob):/.test(url)) add("outside", url);
  });
  page.on("requestfailed", (request) => {
    if (request.url().startsWith(origin)) add("request", `${request.url()}: ${request.failure()?.errorText}`);
  });
  page.on("response", (response) => {
    if (response.status() >= 400) add("request", `${response.url()}: ${response.status()}`);
  });
  return found;
}

/** What reaches beyond a window of `width`, unless all of it can be scrolled to in its own box. */
export function overflow(page, width) {
  return page.evaluate((width) => {
    const root = document.documentElement;
    if (root.scrollWidth <= width) return [];
    const scrolls = (element) => /auto|scroll|hidden|clip/.test(getComputedStyle(element).overflowX);
    const isCut = (element) => {
      for (let above = element.parentElement; above && above !== document.body; above = above.parentElement) {
        if (scrolls(above)) return true;
      }
      return false;
    };
    const wide = [...document.body.querySelectorAll("*")].filter(
      (element) => element.getBoundingClientRect().right > width + 1 && !isCut(element),
    );
    const names = wide.slice(-3).map((element) => element.outerHTML.slice(0, 100));
    return [`${root.scrollWidth} px wide in a window of ${width}: ${names.join(" ; ")}`];
  }, width);
}

/**
 * What axe calls serious or critical.
 *
 * @param {import("playwright-core").Page} page
 * @param {string} [rules] - `colours`: only those that depend on them; `others`: all but these.
 */
export async function accessibility(page, rules) {
  await page.evaluate(`if (!window.axe) { ${AXE} }`);
  const options = { resultTypes: ["violations"] };
  if (rules === "colours") options.runOnly = { type: "rule", values: COLOURS };
  if (rules === "others") options.rules = Object.fromEntries(COLOURS.map((id) => [id, { enabled: false }]));
  const violations = await page.evaluate(async (options) => {
    const result = await window.axe.run(document, options);
    return result.violations.map(({ id, impact, help, nodes }) => ({
      id,
      impact,
      help,
      count: nodes.length,
      first: nodes[0].html.slice(0, 160),
    }));
  }, options);
  return violations
    .filter(({ impact }) => SEVERE.includes(impact))
    .map(({ id, help, count, first }) => `${id}: ${help} (${count} times, first ${first})`);
}

/** The page's links, and the anchors that others can point to. */
export function linksAndAnchors(page) {
  return page.evaluate(() => ({
    links: [...document.querySelectorAll("a[href]")].map((link) => link.href),
    anchors: [...document.querySelectorAll("[id], a[name]")].flatMap(({ id, name }) => [id, name]),
  }));
}

/** The colours of the page as a text, to see whether another scheme changes them. */
export function colours(page) {
  return page.evaluate(() => {
    const { color, backgroundColor } = getComputedStyle(document.body);
    return `${color} on ${backgroundColor}`;
  });
}
