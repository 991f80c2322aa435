// Imports nothing, and has only syntax that old releases of Node.js know, because they run it, too.

/** As in `engines` of package.json. */
const [minMajor, minMinor] = [24, 15];

/** What is wrong with a release of Node.js, in one line; undefined if it is recent enough. */
export function nodeProblem(version: string): string | undefined {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  if (major > minMajor || (major === minMajor && minor >= minMinor)) return undefined;
  return `downlease needs Node.js ${minMajor}.${minMinor} or newer, this is ${version}`;
}
