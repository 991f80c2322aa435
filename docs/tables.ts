/**
 * The tables of the documentation that list what the code defines. `npm run docs` writes them into the pages, and the
 * settings into the schema of the Helm chart; a test holds both to them.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { codeFromString } from "@connectrpc/connect/protocol-connect";
import { Command } from "commander";
import { writeSchema } from "../deploy/helm/schema.ts";
import { addClientCommands } from "../src/cli/commands.ts";
import { exitCodes } from "../src/cli/exit-codes.ts";
import { processIo } from "../src/cli/io.ts";
import { clientSettings } from "../src/config/client-settings.ts";
import { settings } from "../src/config/settings.ts";
import {
  type ErrorKind,
  errorKinds,
  errorMessages,
  failureMessages,
  httpStatusOf,
} from "../src/domain/errors.ts";
import { scenarios } from "../test/chaos/scenarios/scenarios.ts";
import { operationCells, operationHeader, operationRows } from "./operations.ts";

/** Table name, as in `<!-- table: name -->`, to the page that has it and its rows. */
export const tables: Record<string, { page: string; header: readonly string[]; rows: () => string[][] }> = {
  settings: {
    page: "configuration.md",
    header: ["flag", "variable", "default", "at run time", "meaning"],
    rows: () =>
      settings.map(({ usage, variable, default: value, help, changeable }) => [
        code(usage),
        code(variable),
        value,
        changeable ? "may change" : "",
        help,
      ]),
  },
  "client-settings": {
    page: "cli.md",
    header: ["flag", "variable", "default", "meaning"],
    rows: () =>
      clientSettings.map(({ usage, variable, default: value = "", help }) => [
        usage === undefined ? "" : code(usage),
        variable === undefined ? "" : code(variable),
        value && code(value),
        help,
      ]),
  },
  commands: {
    page: "cli.md",
    header: ["command", "meaning"],
    rows: () => commands().map((command) => [code(lineOf(command)), command.description()]),
  },
  options: {
    page: "cli.md",
    header: ["command", "flag", "default", "meaning"],
    rows: () => commands().flatMap(optionRows),
  },
  "exit-codes": {
    page: "cli.md",
    header: ["code", "meaning"],
    rows: () => Object.values(exitCodes).map(({ code: number, meaning }) => [String(number), meaning]),
  },
  "error-kinds": {
    page: "errors.md",
    header: ["kind", "gRPC and Connect code", "number", "vAPI error", "HTTP status on REST"],
    rows: () =>
      (Object.entries(errorKinds) as [ErrorKind, (typeof errorKinds)[ErrorKind]][]).map(
        ([kind, { grpc, vapi }]) => [
          code(kind),
          code(grpc),
          String(codeFromString(grpc === "CANCELLED" ? "canceled" : grpc.toLowerCase())),
          code(`com.vmware.vapi.std.errors.${vapi}`),
          [...new Set([httpStatusOf(kind, "rest"), httpStatusOf(kind, "api")])].join(", on `/api` "),
        ],
      ),
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
  scenarios: {
    page: "reliability.md",
    header: ["scenario", "what is done", "what is kept"],
    rows: () =>
      scenarios.map(({ name, what, documented }) => [
        code(name),
        what,
        documented?.except ?? "every promise",
      ]),
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

/** The commands that call a service. */
function commands(): Command[] {
  const program = new Command("downlease");
  addClientCommands(program, processIo({}));
  // The hidden one is for the scripts of shells.
  const shown = program.commands.filter((command) => command.name() !== "complete");
  return shown.flatMap(withoutGroups);
}

function withoutGroups(command: Command): readonly Command[] {
  return command.commands.length > 0 ? command.commands.flatMap(withoutGroups) : [command];
}

/** For example `downlease sessions show <id>`. */
function lineOf(command: Command): string {
  const names: string[] = [];
  for (let each: Command | null = command; each !== null; each = each.parent) names.unshift(each.name());
  const operands = command.registeredArguments.map((argument) => {
    const name = `${argument.name()}${argument.variadic ? "..." : ""}`;
    return argument.required ? `<${name}>` : `[${name}]`;
  });
  return [...names, ...operands].join(" ");
}

/** Without the options of the server, which have a table of their own, and `--json`, which every command has. */
function optionRows(command: Command): string[][] {
  return command.options
    .filter(({ flags }) => !clientSettings.some(({ usage }) => usage === flags) && flags !== "--json")
    .map(({ flags, defaultValue, description }) => [
      code(lineOf(command).replace(/ [<[].*/, "")),
      code(flags),
      defaultValue === undefined ? "" : code(String(defaultValue)),
      description,
    ]);
}

if (import.meta.main) {
  for (const page of new Set(Object.values(tables).map((table) => table.page))) {
    writeFileSync(new URL(page, import.meta.url), rewritten(page));
  }
  writeSchema();
}
