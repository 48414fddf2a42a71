/** Chromium without a screen, and without the connections that it makes of its own accord. */

import { existsSync } from "node:fs";
import { chromium } from "playwright-core";

const PLACES = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
const FLAGS = [
  "--no-sandbox", // CI is root, whom Chromium's sandbox refuses
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** Start a browser with a new profile: `CHROMIUM`, or the one that the system has. */
export function launch() {
  const executablePath = process.env.CHROMIUM ?? PLACES.find(existsSync);
  if (!executablePath) {
    throw new Error("no Chromium: install it (apt-get install chromium) or set CHROMIUM to its path");
  }
  return chromium.launch({ executablePath, args: FLAGS });
}
