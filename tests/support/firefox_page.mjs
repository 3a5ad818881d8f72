// Opens a page in Firefox and evaluates a function in it once it shows pictures: URL, function, arguments as JSON.
// Prints what the function returns, as JSON.

import { createRequire } from "node:module";

const puppeteer = createRequire(`${process.env.NODE_MODULES}/`)("puppeteer-core");
const [url, source, given] = process.argv.slice(2);
const browser = await puppeteer.launch({
  browser: "firefox",
  executablePath: process.env.FIREFOX,
  extraPrefsFirefox: { "media.autoplay.default": 0, "media.peerconnection.ice.obfuscate_host_addresses": true },
});
try {
  const page = await browser.newPage();
  await page.goto(url);
  await page.waitForSelector("body[data-state=live]", { timeout: 30_000 });
  const result = await page.evaluate(`(${source})(${given})`);
  console.log(JSON.stringify(result));
} finally {
  await browser.close();
}
