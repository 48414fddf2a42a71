/** A page with one fault of each sort is refused for that fault; a page without one is not. */

import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { check } from "./check.js";

const PAGE = ({ head = "", body = "" }) => `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>A page</title><link rel="icon" href="data:,">
<style>@media (prefers-color-scheme: dark) { body { color: #fff; background: #000; } a { color: #9cf; } }</style>
${head}</head>
<body><main><h1 id="top">A page</h1>${body}</main></body>
</html>`;

const FAULTS = {
  console: { head: "<script>console.error('a complaint')</script>" },
  exception: { head: "<script>throw new Error('unforeseen')</script>" },
  request: { body: '<img src="missing.png" alt="">' },
  outside: { head: '<link rel="stylesheet" href="http://127.0.0.1:9/style.css">' },
  link: { body: '<a href="nowhere.html">A link</a>' },
  anchor: { body: '<a href="fine.html#nowhere">A link</a>' },
  overflow: { body: '<div style="width: 600px">A wide box</div>' },
  accessibility: { body: "<button></button>" },
};
const CONTRAST = {
  "pale-in-the-light": { body: '<p style="color: #999">Words</p>' },
  "pale-in-the-dark": {
    head: "<style>@media (prefers-color-scheme: dark) { p { color: #444; } }</style>",
    body: "<p>Words</p>",
  },
};
const FINE = {
  body: `<a href="fine.html#top">A link</a> <a href="https://example.org">Another</a>
<div style="overflow-x: auto" tabindex="0"><div style="width: 600px">A wide box that scrolls</div></div>`,
};

/** What the check says of `pages`. */
async function judge(pages) {
  const folder = await mkdtemp(join(tmpdir(), "pages-"));
  try {
    for (const [name, parts] of Object.entries(pages)) {
      await writeFile(join(folder, `${name}.html`), PAGE(parts));
    }
    const found = await check(folder);
    assert.equal(found.views, 2 * Object.keys(pages).length);
    return found;
  } finally {
    await rm(folder, { recursive: true });
  }
}

test("every sort of fault is found where it is, and nothing where there is none", async () => {
  const { findings: found, external } = await judge({ ...FAULTS, ...CONTRAST, fine: FINE });
  const of = (name) => found.filter(({ page }) => page === `${name}.html`);

  for (const kind of Object.keys(FAULTS)) {
    assert.deepEqual([...new Set(of(kind).map((finding) => finding.kind))], [kind]);
  }
  assert.deepEqual(of("fine"), []);
  assert.deepEqual(external, ["https://example.org/"]);
  assert.deepEqual([...new Set(of("overflow").map(({ width }) => width))], [390]);
  for (const [name, scheme] of [["pale-in-the-light", "light"], ["pale-in-the-dark", "dark"]]) {
    assert.deepEqual([...new Set(of(name).map((finding) => finding.scheme))], [scheme]);
    assert.match(of(name)[0].text, /^color-contrast/);
  }
});

test("a folder without pages is refused", async () => {
  const folder = await mkdtemp(join(tmpdir(), "pages-"));
  await assert.rejects(check(folder), /no page in/);
  await rm(folder, { recursive: true });
});
