import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

/** A link of Markdown to a file, or a picture: its text, and the path without the fragment. */
const fileLink = /!?\[([^\]]*)\]\((?![a-z]+:|#)([^)#\s]+)(?:#[^)\s]*)?\)/g;

/** Replaces each link to a file that the directory does not have by its text. */
export function dropDeadLinks(directory: string): void {
  for (const name of readdirSync(directory, { recursive: true, encoding: "utf8" })) {
    if (!name.endsWith(".md")) continue;
    const path = join(directory, name);
    const text = readFileSync(path, "utf8");
    const kept = text.replace(fileLink, (link, shown: string, target: string) =>
      existsSync(join(dirname(path), target)) ? link : shown,
    );
    if (kept !== text) writeFileSync(path, kept);
  }
}
