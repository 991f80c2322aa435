import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startTestApp } from "../support/app.ts";
import { makeCertificate } from "../support/certificates.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";
import { newIssuer, settingsFor } from "../support/tokens.ts";
import { testBrowser } from "./support/browser.ts";
import { type ConsoleApp, logIn, startConsoleApp } from "./support/console-app.ts";

const browser = testBrowser();
const issuer = await newIssuer();
let directory: TempDir;
let app: ConsoleApp;
beforeAll(async () => {
  directory = await tempDir();
  const tokens = await settingsFor(issuer, directory.path);
  app = await startConsoleApp(browser, { settings: tokens });
});
afterAll(async () => {
  await app?.stop();
  await directory.remove();
});

describe("with a password", () => {
  test("a wrong one is refused on the page, the right one leads to it, and logging out back", async () => {
    const page = await browser.open(app.page("/libraries"), { allows: /status of 401/ });
    await logIn(page, "alice", "wrong");
    const alert = page.getByRole("alert");
    await alert.waitFor();
    expect(await alert.innerText()).toMatch(/password|credentials/i);
    await logIn(page, "alice");
    await page.getByRole("heading", { name: "Libraries" }).waitFor();
    expect(new URL(page.url()).pathname).toBe("/console/libraries");
    const [cookie] = await page.context().cookies();
    expect(cookie).toMatchObject({ httpOnly: true, sameSite: "Strict" });
    expect(await page.evaluate(() => document.cookie)).toBe("");
    await page.reload();
    await page.getByRole("heading", { name: "Libraries" }).waitFor();
    await page.getByRole("button", { name: "Log out" }).click();
    await page.getByLabel("User").waitFor();
    await page.reload();
    await page.getByLabel("User").waitFor();
  });

  test("a user without the role sees own sessions and the libraries, nothing else", async () => {
    const page = await browser.open(app.page());
    await logIn(page, "alice");
    await page.getByRole("heading", { name: "Libraries" }).waitFor();
    const menu = page.getByRole("navigation", { name: "Pages" });
    expect(await menu.getByRole("link").allInnerTexts()).toEqual(["Sessions", "Libraries"]);
    for (const path of ["/overview", "/logins", "/settings", "/replicas"]) {
      await page.goto(app.page(path));
      await page.getByRole("heading", { name: "There is no such page" }).waitFor();
    }
  });

  test("who has the role sees all pages", async () => {
    const page = await browser.open(app.page("/settings"));
    await logIn(page, "root");
    await page.getByRole("heading", { name: "Settings" }).waitFor();
    const menu = page.getByRole("navigation", { name: "Pages" });
    expect(await menu.getByRole("link").count()).toBe(6);
  });

  test("a session that others end leads back to the login, and then to the same page", async () => {
    const page = await browser.open(app.page("/libraries?search=x"));
    await logIn(page, "alice");
    await page.getByRole("heading", { name: "Libraries" }).waitFor();
    await page.context().clearCookies();
    await page.getByRole("link", { name: "Sessions" }).click();
    await logIn(page, "alice");
    await page.getByRole("heading", { name: "Sessions", exact: true }).waitFor();
  });
});

test("with a token", async () => {
  const page = await browser.open(app.page("/libraries"));
  await page.getByRole("tab", { name: "Token" }).click();
  await page.getByLabel("Bearer token").fill(await issuer.token({ sub: "carol" }));
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByRole("heading", { name: "Libraries" }).waitFor();
  expect(await page.getByRole("banner").innerText()).toContain("carol");
});

test("with a certificate, without a question", async () => {
  const make = (name: string, request: Parameters<typeof makeCertificate>[2]) =>
    makeCertificate(directory.path, name, request);
  const authority = await make("authority", { subject: "/CN=authority" });
  const [server, client] = await Promise.all([
    make("server", { subject: "/CN=localhost", alternativeNames: "DNS:localhost,IP:127.0.0.1" }),
    make("client", { subject: "/CN=dave", issuer: authority, usage: "clientAuth" }),
  ]);
  const secure = await startTestApp({
    tls: { cert: server.path, key: server.keyPath },
    settings: { mtlsCa: authority.path },
  });
  try {
    const page = await browser.open(`${secure.url}/console/libraries`, {
      ignoreHTTPSErrors: true,
      clientCertificates: [{ origin: secure.url, cert: client.cert, key: client.key }],
    });
    await page.getByRole("heading", { name: "Libraries" }).waitFor();
    expect(await page.getByRole("banner").innerText()).toContain("dave");
  } finally {
    await secure.stop();
  }
});

test("as nobody, when nobody has to log in: the pages of an operator", async () => {
  const open = await startTestApp();
  try {
    const page = await browser.open(`${open.url}/`, { extraHTTPHeaders: {} });
    await page.getByRole("link", { name: "Console", exact: true }).click();
    await page.getByRole("link", { name: "Settings" }).click();
    await page.getByRole("heading", { name: "Settings" }).waitFor();
    expect(await page.getByRole("button", { name: "Log out" }).count()).toBe(0);
  } finally {
    await open.stop();
  }
});
