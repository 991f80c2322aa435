import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { delimiter, join, resolve } from "node:path";
import { promisify } from "node:util";
import { expect } from "vitest";

const root = resolve(import.meta.dirname, "../..");

/** A block of commands of a page, and the answer that is printed below it, if any. */
export interface Step {
  readonly commands: string;
  readonly answer: string;
}

/** The text of a page of documentation. @param heading only of this section, whose heading is `## …` */
export function readSection(page: string, heading?: string): string {
  const text = readFileSync(join(root, page), "utf8");
  if (heading === undefined) return text;
  const section = text.split(/^## /m).find((each) => each.startsWith(`${heading}\n`));
  if (section === undefined) throw new Error(`${page} has no section ${heading}`);
  return section;
}

/** The steps of a text, without the set-up, which CI itself runs. */
export function stepsOf(text: string): readonly Step[] {
  return [...text.matchAll(/```sh\n([\s\S]*?)```\n(?:\n```(?:json|xml|text)\n([\s\S]*?)```)?/g)]
    .map(([, commands = "", answer = ""]) => ({ commands, answer }))
    .filter(({ commands }) => !commands.startsWith("npm ci"));
}

/**
 * Runs steps one after the other, and expects each to print its answer. Later ones use the variables of earlier ones,
 * which are run again for that.
 *
 * @param portOf of the service that a step talks to, in place of 8080
 */
export async function runSteps(
  steps: readonly Step[],
  portOf: (step: Step) => number,
  env: NodeJS.ProcessEnv = process.env,
): Promise<void> {
  let before = "";
  for (const step of steps) {
    const address = `127.0.0.1:${portOf(step)}`;
    const here = (text: string) => text.replaceAll("127.0.0.1:8080", address);
    const script = here(`set -euo pipefail\n{ :\n${before}\n} >/dev/null\n${step.commands}`);
    const { stdout } = await promisify(execFile)("bash", ["-c", script], {
      cwd: root,
      env: {
        ...env,
        DOWNLEASE_SERVER: `http://${address}`,
        PATH: [join(root, "node_modules/.bin"), env.PATH].join(delimiter),
      },
    });
    if (step.answer !== "") expect(withoutIdentity(stdout)).toBe(withoutIdentity(here(step.answer)));
    const setsVariables = /^(?:export )?\w+=/m.test(step.commands);
    if (setsVariables && !step.commands.includes("sleep")) before += step.commands;
  }
}

/** A text without what differs between runs (ids, times, versions) and without white space. */
function withoutIdentity(text: string): string {
  return text
    .replace(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, "<uuid>")
    .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, "<time>")
    .replace(/(version(?:":\s*(?:\{"OPTIONAL":\s*)?"|>))[0-9a-f]{16}/g, "$1<version>")
    .replace(/\s+/g, "");
}
