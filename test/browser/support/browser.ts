import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import {
  type Browser,
  type BrowserContext,
  type BrowserContextOptions,
  chromium,
  type Page,
} from "playwright-core";
import { afterAll, afterEach, beforeAll, expect } from "vitest";
import { searchPath } from "../../support/executables.ts";
import { residentMegabytes } from "../../support/memory.ts";

export interface PageOptions extends BrowserContextOptions {
  /** Console errors that the test itself provokes. */
  readonly allows?: RegExp;
  readonly cookies?: readonly Cookie[];
  /** Has no way to write into a folder, as Firefox and Safari. */
  readonly cannotWriteFiles?: boolean;
}

export type Cookie = Parameters<BrowserContext["addCookies"]>[0][number];

export interface TestBrowser {
  /** Resident memory of the largest of the processes that show pages, in megabytes. */
  pageMegabytes(): Promise<number>;
  /** Opens a page as a browser does that has never been there. */
  open(url: string, options?: PageOptions): Promise<Page>;
}

/**
 * A browser for the tests of the file. A test fails when one of its pages reports an error, an exception that nobody
 * catches, or something that the Content-Security-Policy refuses.
 */
export function testBrowser(): TestBrowser {
  let browser: Browser;
  const contexts: BrowserContext[] = [];
  const problems: string[] = [];
  beforeAll(async () => {
    browser = await launch();
  });
  afterEach(async () => {
    await Promise.all(contexts.splice(0).map((context) => context.close()));
    expect(problems.splice(0)).toEqual([]);
  });
  afterAll(() => browser?.close());
  return {
    async pageMegabytes() {
      const session = await browser.newBrowserCDPSession();
      const { processInfo } = await session.send("SystemInfo.getProcessInfo");
      await session.detach();
      const pages = processInfo.filter(({ type }) => type === "renderer");
      return Math.max(...(await Promise.all(pages.map(({ id }) => residentMegabytes(id)))));
    },
    async open(url, { allows, cookies = [], cannotWriteFiles = false, ...options } = {}) {
      const context = await browser.newContext({
        locale: "en-GB",
        timezoneId: "Europe/Berlin",
        viewport: { width: 1280, height: 800 },
        ...options,
      });
      contexts.push(context);
      const report = (problem: string) => {
        if (allows?.test(problem) !== true) problems.push(problem);
      };
      await context.addCookies(cookies);
      await context.exposeFunction("reportProblem", report);
      context.setDefaultTimeout(15_000);
      await context.addInitScript(cannotWriteFiles ? withoutFiles : privateFolder);
      await context.addInitScript(reportViolations);
      const page = await context.newPage();
      page.on("pageerror", (error) => report(`exception: ${error.stack ?? error.message}`));
      page.on("console", (message) => {
        if (["error", "warning"].includes(message.type())) report(`${message.type()}: ${message.text()}`);
      });
      page.on("dialog", (dialog) => {
        report(`dialog: ${dialog.type()}`);
        void dialog.dismiss();
      });
      await page.goto(url);
      return page;
    },
  };
}

function launch(): Promise<Browser> {
  const directory = searchPath.split(delimiter).find((each) => existsSync(join(each, "chromium")));
  return chromium.launch({
    executablePath: join(directory ?? "", "chromium"),
    // Containers, in which tests run as root, have no rights for its sandbox.
    args: ["--no-sandbox"],
  });
}

declare global {
  interface Window {
    reportProblem(problem: string): void;
    showDirectoryPicker?(): Promise<FileSystemDirectoryHandle>;
  }
}

/** What the console prints about violations may change with the browser; the event is a standard. */
function reportViolations(): void {
  addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI, sourceFile }) => {
    window.reportProblem(`policy: ${violatedDirective} refuses ${blockedURI} of ${sourceFile}`);
  });
}

/** Nobody is there to choose a folder: pages get one of their own. */
function privateFolder(): void {
  window.showDirectoryPicker = () => navigator.storage.getDirectory();
}

function withoutFiles(): void {
  delete window.showDirectoryPicker;
}
