import { spawnSync } from "node:child_process";
import { accessSync, constants, existsSync, rmSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";

/** Something that tests start or build with, and the Debian package that has it. */
export interface Requirement {
  readonly debianPackage: string;
  isMet(): boolean;
}

const onPath = (command: string): Requirement => ({
  debianPackage: command,
  isMet: () => isExecutable(command),
});

/** As a peer of the service, and in front of it. */
export const nginxNeeded = onPath("nginx");

/** Of the tests in a browser only. */
export const chromiumNeeded = onPath("chromium");

export const neededExecutables: readonly Requirement[] = [
  onPath("redis-server"),
  onPath("haproxy"),
  nginxNeeded,
];

/** The PATH, and the places of daemons that Debian leaves out of a user's PATH. */
export const searchPath = [process.env.PATH ?? "", "/usr/local/sbin", "/usr/sbin"].join(delimiter);

/**
 * Makes sure that the requirements are met. If they are not, root installs Debian's packages, after a
 * line that says so.
 *
 * @param install whether anything may be installed
 * @throws Error with one line that says what to install
 */
export function provide(requirements: readonly Requirement[], { install = true } = {}): void {
  const packages = missingPackages(requirements);
  if (packages.length === 0) return;
  const names = new Intl.ListFormat("en").format(packages);
  const advice = `install ${names} (for example: sudo apt-get install ${packages.join(" ")}) and try again`;
  if (!install || process.getuid?.() !== 0 || !isExecutable("apt-get")) {
    throw new Error(`this machine does not have ${names}: ${advice}`);
  }
  process.stdout.write(`installing ${names} with apt-get; --no-install refuses\n`);
  withoutStartingServices(() => {
    aptGet(["update"], advice);
    aptGet(["install", "--yes", "--no-install-recommends", ...packages], advice);
  });
}

export function missingPackages(requirements: readonly Requirement[]): readonly string[] {
  return requirements.filter((requirement) => !requirement.isMet()).map(({ debianPackage }) => debianPackage);
}

export function isExecutable(command: string): boolean {
  return searchPath.split(delimiter).some((directory) => {
    try {
      accessSync(join(directory, command), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

function aptGet(args: readonly string[], advice: string): void {
  // The lock is waited for because another run may be installing the same packages.
  const { status } = spawnSync("apt-get", ["-qq", "-o", "DPkg::Lock::Timeout=300", ...args], {
    stdio: ["ignore", "inherit", "inherit"],
    env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
  });
  if (status !== 0) throw new Error(`apt-get ${args.join(" ")} failed: ${advice}`);
}

/**
 * Debian's packages start their services when they are installed, unless this file says no; see invoke-rc.d(8).
 * A file that is there already is somebody's decision and stays.
 */
function withoutStartingServices(install: () => void): void {
  const policy = "/usr/sbin/policy-rc.d";
  const ours = !existsSync(policy);
  if (ours) writeFileSync(policy, "#!/bin/sh\nexit 101\n", { mode: 0o755 });
  try {
    install();
  } finally {
    if (ours) rmSync(policy, { force: true });
  }
}
