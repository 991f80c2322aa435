/**
 * The tables of the documentation that list what the code defines. `npm run docs` writes them into the pages;
 * a test holds the pages to them.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { codeFromString } from "@connectrpc/connect/protocol-connect";
import { settings } from "../src/config/settings.ts";
import { errorKinds, errorMessages, failureMessages } from "../src/domain/errors.ts";
import { operationCells, operationHeader, operationRows } from "./operations.ts";

/** Table name, as in `<!-- table: name -->`, to the page that has it and its rows. */
export const tables: Record<string, { page: string; header: readonly string[]; rows: () => string[][] }> = {
  settings: {
    page: "configuration.md",
    header: ["flag", "variable", "default", "meaning"],
    rows: () =>
      settings.map(({ usage, variable, default: value, help }) => [code(usage), code(variable), value, help]),
  },
  "error-kinds": {
    page: "errors.md",
    header: ["kind", "gRPC and Connect code", "number", "vAPI error", "HTTP status on REST"],
    rows: () =>
      Object.entries(errorKinds).map(([kind, { grpc, vapi, http }]) => [
        code(kind),
        code(grpc),
        String(codeFromString(grpc === "CANCELLED" ? "canceled" : grpc.toLowerCase())),
        code(`com.vmware.vapi.std.errors.${vapi}`),
        String(http),
      ]),
  },
  "error-messages": {
    page: "errors.md",
    header: ["message id", "kind", "text"],
    rows: () => Object.entries(errorMessages).map(([id, { kind, text }]) => [code(id), code(kind), text]),
  },
  "failure-messages": {
    page: "errors.md",
    header: ["message id", "text"],
    rows: () => Object.entries(failureMessages).map(([id, text]) => [code(id), text]),
  },
  operations: {
    page: "rest.md",
    header: operationHeader,
    rows: () => operationRows().map(operationCells),
  },
};

/** A page with its tables as the code has them now. */
export function rewritten(page: string): string {
  return readPage(page).replace(
    /(<!-- table: ([\w-]+) -->\n)[\s\S]*?(<!-- end -->)/g,
    (_, start: string, name: string, end: string) => `${start}${markdown(name)}${end}`,
  );
}

export function readPage(page: string): string {
  return readFileSync(new URL(page, import.meta.url), "utf8");
}

function markdown(name: string): string {
  const table = tables[name];
  if (table === undefined) throw new Error(`there is no table ${name}`);
  const lines = [table.header, table.header.map(() => "---"), ...table.rows()];
  return lines
    .map((cells) => `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |\n`)
    .join("");
}

function code(text: string): string {
  return `\`${text}\``;
}

if (import.meta.main) {
  for (const page of new Set(Object.values(tables).map((table) => table.page))) {
    writeFileSync(new URL(page, import.meta.url), rewritten(page));
  }
}
