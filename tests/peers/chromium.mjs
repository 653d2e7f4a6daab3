// Chromium without a window: $CHROMIUM, or /usr/bin/chromium. It believes the certificate in the file TLS_CERT, and any
// without that.

import { createHash, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { chromium } from "playwright-core";

const { CHROMIUM, TLS_CERT } = process.env;

function belief() {
  if (!TLS_CERT) return "--ignore-certificate-errors";
  const key = new X509Certificate(readFileSync(TLS_CERT)).publicKey.export({ type: "spki", format: "der" });
  return `--ignore-certificate-errors-spki-list=${createHash("sha256").update(key).digest("base64")}`;
}

export function launch() {
  return chromium.launch({
    executablePath: CHROMIUM ?? "/usr/bin/chromium",
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      belief(),
    ],
  });
}
