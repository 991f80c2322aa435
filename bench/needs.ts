/** Programs and rights beyond Node.js and Redis. What needs one that this machine lacks is not measured. */
import { existsSync } from "node:fs";
import { isExecutable } from "../test/support/executables.ts";

export interface Need {
  readonly name: string;
  isMet(): boolean;
}

const onPath = (name: string, command = name): Need => ({ name, isMet: () => isExecutable(command) });

export const nginx = onPath("nginx");
export const go = onPath("Go", "go");
export const aria2c = onPath("aria2c");
export const curl = onPath("curl");
export const tun: Need = { name: "TUN devices", isMet: () => existsSync("/dev/net/tun") };
export const root: Need = { name: "root", isMet: () => process.getuid?.() === 0 };

/** This machine lacks something that a study or a contender needs. */
export class NeedMissing extends Error {
  readonly needs: string;

  /**
   * @param needs for example "MinIO"
   * @param what what can't be measured
   */
  constructor(needs: string, what: string, options?: ErrorOptions) {
    super(`${what} can't be measured: needs ${needs}`, options);
    this.needs = needs;
  }
}

let buildsAreRefused = false;

/** From now on nothing is built for which other registries are needed; what was built before is used. */
export function refuseBuilds(): void {
  buildsAreRefused = true;
}

/**
 * Called before something is built.
 *
 * @param needs for example the compiler
 * @param what what is built
 * @throws NeedMissing
 */
export function requireForBuild(needs: readonly Need[], what: string): void {
  const missing = missingOf(needs) ?? (buildsAreRefused ? "a run without --no-build" : undefined);
  if (missing !== undefined) throw new NeedMissing(missing, what);
}

/** Names of the needs that are not met, or undefined when all are. */
export function missingOf(needs: readonly Need[]): string | undefined {
  const missing = needs.filter((need) => !need.isMet()).map(({ name }) => name);
  return missing.length === 0 ? undefined : new Intl.ListFormat("en").format(missing);
}
