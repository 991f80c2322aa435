import axe from "axe-core";
import type { Page } from "playwright-core";

/** What axe finds serious on the page as it is, a line each. @param rules only these */
export async function findings(page: Page, rules?: readonly string[]): Promise<string[]> {
  // By the debugger, which no policy of the page binds.
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate(
    (only) => window.axe.run(document, only === undefined ? {} : { runOnly: [...only] }),
    rules,
  );
  return violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 200)).join(" | ")}`);
}

declare global {
  interface Window {
    axe: typeof axe;
  }
}
