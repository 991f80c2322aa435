import { readFileSync, writeFileSync } from "node:fs";
import { settings } from "../../src/config/settings.ts";

export const chart = new URL("downlease/", import.meta.url);
const schemaFile = new URL("values.schema.json", chart);

/** Variables that a template of the chart sets from values with names of their own, or from files of secrets. */
export function variablesOfTemplates(): Set<string> {
  const templates = readFileSync(new URL("templates/_helpers.tpl", chart), "utf8");
  return new Set(templates.match(/DOWNLEASE_[A-Z0-9_]*[A-Z0-9]/g));
}

/**
 * The schema of the chart's values, with every setting of the service below `settings`: but for those that have values
 * of their own, and secrets, which come from files.
 */
export function rewrittenSchema(): string {
  const schema = JSON.parse(readSchema());
  const others = variablesOfTemplates();
  const open = settings.filter(
    ({ variable, secret }) => !secret && !others.has(variable) && !others.has(variable.replace(/_FILE$/, "")),
  );
  schema.properties.settings.properties = Object.fromEntries(
    open.map(({ name, help }) => [name, { description: help, type: ["string", "number", "boolean"] }]),
  );
  return `${JSON.stringify(schema, undefined, 2)}\n`;
}

export function readSchema(): string {
  return readFileSync(schemaFile, "utf8");
}

export function writeSchema(): void {
  writeFileSync(schemaFile, rewrittenSchema());
}
