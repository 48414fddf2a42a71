/**
 * Opens every page of a folder in headless Chromium, wide and narrow, light and dark.
 *
 *   node check.js FOLDER [--screenshots FOLDER] [--tabs N]
 *
 * Refused are: errors in the console, exceptions, requests that fail or leave the folder, links and
 * anchors that lead nowhere, a page wider than its window, and what axe calls serious or critical.
 * Links to other sites are counted and not followed.
 */

import { mkdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

import { launch } from "./browser.js";
import { pagesOf, serve } from "./server.js";
import { accessibility, colours, linksAndAnchors, listen, overflow } from "./view.js";

const WINDOWS = [
  { width: 1280, height: 900 },
  { width: 390, height: 844, isMobile: true },
];
const PATIENCE = 120_000; // ms; a machine that does other things too is slow, not wrong
const STILL = "*, *::before, *::after { transition: none !important; animation: none !important; }";

/** Open one page in one window; adds to `findings`, and returns its links and anchors. */
async function open(context, { origin, name, window, screenshots, findings }) {
  const page = await context.newPage();
  const heard = listen(page, origin);
  const note = (scheme) => (kind, texts) =>
    findings.push(...texts.map((text) => ({ page: name, width: window.width, scheme, kind, text })));
  await page.emulateMedia({ colorScheme: "light" });
  await page.goto(`${origin}/${name}`, { waitUntil: "load" });
  await page.addStyleTag({ content: STILL }); // colours are judged, not their change
  const seen = await linksAndAnchors(page);
  note("light")("overflow", await overflow(page, window.width));
  // Colours are the same in a narrow window, and judging them is most of the work.
  const isWidest = window === WINDOWS[0];
  note("light")("accessibility", await accessibility(page, isWidest ? undefined : "others"));
  const save = async (scheme) => {
    if (!screenshots) return;
    const file = `${name.replaceAll("/", "_").replace(/\.html$/, "")}-${window.width}-${scheme}.png`;
    await page.screenshot({ path: join(screenshots, file), fullPage: true });
  };
  await save("light");
  const light = await colours(page);
  await page.emulateMedia({ colorScheme: "dark" });
  if ((await colours(page)) !== light) {
    if (isWidest) note("dark")("accessibility", await accessibility(page, "colours"));
    await save("dark");
  }
  for (const { kind, text } of heard) note("light")(kind, [text]);
  await page.close();
  return seen;
}

/** Links of all pages that lead to no page, file or anchor; `seen` has links and anchors by page. */
async function deadLinks(origin, seen) {
  const asked = new Map();
  const answers = (url) => {
    if (!asked.has(url)) asked.set(url, fetch(url, { method: "HEAD" }).then(({ ok }) => ok));
    return asked.get(url);
  };
  const dead = [];
  for (const [page, { links }] of seen) {
    for (const link of new Set(links.filter((link) => link.startsWith(`${origin}/`)))) {
      const url = new URL(link);
      const name = url.pathname.slice(1).replace(/(^|\/)$/, "$1index.html");
      const anchor = decodeURIComponent(url.hash.slice(1));
      const add = (kind) => dead.push({ page, kind, text: link.slice(origin.length) });
      if (!seen.has(name) && !(await answers(`${origin}${url.pathname}`))) add("link");
      else if (anchor && seen.has(name) && !seen.get(name).anchors.includes(anchor)) add("anchor");
    }
  }
  return dead;
}

/**
 * Judge all pages of `folder`.
 *
 * @param {string} folder - Where the pages lie.
 * @param {{screenshots?: string, tabs?: number}} options - A folder for pictures of all pages; how
 *   many pages are open at once.
 * @returns {Promise<{pages: number, views: number, external: string[], findings: object[]}>} What
 *   was opened, the links to other sites, and what was found.
 */
export async function check(folder, { screenshots, tabs = 3 } = {}) {
  const names = await pagesOf(folder);
  if (names.length === 0) throw new Error(`no page in ${folder}; expected .html files`);
  if (screenshots) await mkdir(screenshots, { recursive: true });
  const { server, origin } = await serve(folder);
  const browser = await launch();
  const findings = [];
  const seen = new Map();
  try {
    const views = [];
    for (const window of WINDOWS) {
      const { isMobile, ...viewport } = window;
      const context = await browser.newContext({ viewport, isMobile, reducedMotion: "reduce" });
      context.setDefaultTimeout(PATIENCE);
      views.push(...names.map((name) => ({ context, name, window })));
    }
    const waiting = [...views];
    const work = async () => {
      for (let view = waiting.shift(); view; view = waiting.shift()) {
        const { context, ...what } = view;
        seen.set(view.name, await open(context, { origin, screenshots, findings, ...what }));
      }
    };
    await Promise.all(Array.from({ length: tabs }, work));
    findings.push(...(await deadLinks(origin, seen)));
    const links = [...seen.values()].flatMap((page) => page.links);
    const external = links.filter((link) => /^https?:/.test(link) && !link.startsWith(origin));
    return { pages: names.length, views: views.length, external: [...new Set(external)].sort(), findings };
  } finally {
    await browser.close();
    server.close();
  }
}

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { screenshots: { type: "string" }, tabs: { type: "string" } },
  });
  if (positionals.length !== 1) {
    console.error("usage: node check.js FOLDER [--screenshots FOLDER] [--tabs N]");
    return 2;
  }
  const started = Date.now();
  const screenshots = values.screenshots && resolve(values.screenshots);
  const tabs = values.tabs ? Number(values.tabs) : undefined;
  const { pages, views, external, findings } = await check(resolve(positionals[0]), { screenshots, tabs });
  for (const { page, width, scheme, kind, text } of findings) {
    console.log(`${page}${width ? ` (${width} px, ${scheme})` : ""}: ${kind}: ${text}`);
  }
  const seconds = ((Date.now() - started) / 1000).toFixed(0);
  console.log(`${pages} pages in ${views} views: ${findings.length} findings, ${seconds} s`);
  console.log(`${external.length} links to other sites, not followed:\n  ${external.join("\n  ")}`);
  return findings.length ? 1 : 0;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exitCode = await main();
