import { fromJson, ScalarType } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import {
  type Setting,
  type Settings,
  SettingValuesSchema,
} from "../../../gen/downlease/admin/v1/admin_pb.ts";
import { visible } from "../../client/printable.ts";
import { required } from "../answers.ts";
import { CliError } from "../failure.ts";
import type { CommonFlags, Task } from "../run.ts";
import { polled, watch } from "../sessions/watch.ts";
import { table } from "../text.ts";
import { confirm } from "./confirm.ts";

interface ShowFlags extends CommonFlags {
  readonly watch?: boolean;
  readonly interval: number;
}

interface ChangeFlags extends CommonFlags {
  readonly yes?: boolean;
}

/** What a command changes: texts by name, undefined for a reset. */
type Changes = ReadonlyMap<string, string | undefined>;

export async function show(task: Task<ShowFlags>): Promise<void> {
  const { output, flags } = task;
  const read = () => readSettings(task);
  if (!flags.watch) {
    const settings = await read();
    if (output.isJson) output.json(settingsJson(settings));
    else output.lines(settingsTable(settings, output.width));
    return;
  }
  await watch(task, {
    values: () => polled(task, read),
    frame: (settings) => settingsTable(settings, output.width),
    entries: ({ settings }) =>
      settings.map((setting) => ({
        key: setting.name,
        line: [setting.name, shownValue(setting), sourceOf(setting)].map(visible).join("  "),
        json: settingJson(setting),
      })),
    gone: () => undefined,
  });
}

export async function set(task: Task<ChangeFlags>): Promise<void> {
  const changes = new Map<string, string | undefined>();
  for (const operand of task.operands) {
    const end = operand.indexOf("=");
    if (end < 0) throw new CliError("usage", `${visible(operand)}: must be name=value`);
    const name = settingName(operand.slice(0, end));
    if (changes.has(name)) throw new CliError("usage", `${visible(name)} is set twice`);
    changes.set(name, operand.slice(end + 1));
  }
  await change(task, changes);
}

export async function reset(task: Task<ChangeFlags>): Promise<void> {
  await change(task, new Map(task.operands.map((operand) => [settingName(operand), undefined])));
}

/** Names may be those of flags as well: `lease-seconds`. */
function settingName(text: string): string {
  return text.replaceAll("-", "_");
}

async function readSettings({ server, call }: Pick<Task, "server" | "call">): Promise<Settings> {
  return required((await server.admin.getSettings({}, call)).settings, "settings");
}

/** Changes what was read before, and nothing when somebody else has changed settings meanwhile. */
async function change(task: Task<ChangeFlags>, changes: Changes): Promise<void> {
  const { server, call, output, flags, io } = task;
  const before = await readSettings(task);
  const values = valuesOf(changes, before);
  const resets = [...changes].filter(([, text]) => text === undefined).map(([name]) => name);
  const lines = [...changes].map(([name, text]) => difference(before, name, text));
  if (!flags.yes) {
    const question = () => {
      io.stderr.write(lines.map((line) => `${visible(line)}\n`).join(""));
      return "Change the settings of the whole service?";
    };
    await confirm(io, question, "nothing was changed");
  }
  const { settings } = await server.admin
    .updateSettings({ version: before.version, values, resets }, call)
    .catch((error) => {
      if (!(error instanceof ConnectError && error.code === Code.Aborted)) throw error;
      throw new CliError(
        "failed",
        "somebody else has changed settings meanwhile. Nothing was changed: look at them with downlease admin settings, then repeat the command",
      );
    });
  const after = required(settings, "settings");
  if (output.isJson) output.json(settingsJson(after));
  else output.lines([...(flags.yes ? lines : []), `changed; version ${after.version}`]);
}

/** Their types are those of the interface; the server checks everything else. */
function valuesOf(changes: Changes, { settings }: Settings) {
  const texts = [...changes].filter(([, text]) => text !== undefined);
  for (const [name, text] of texts) {
    const field = SettingValuesSchema.fields.find((each) => each.name === name);
    if (field === undefined) {
      const names = settings.map((setting) => setting.name).join(", ");
      throw new CliError("usage", `there is no setting ${visible(name)}; the settings are ${names}`);
    }
    try {
      fromJson(SettingValuesSchema, { [name]: text! });
    } catch {
      const type = field.scalar === ScalarType.DOUBLE ? "a number" : "a whole number";
      throw new CliError("usage", `${visible(name)} must be ${type}, not '${visible(text!)}'`);
    }
  }
  return fromJson(SettingValuesSchema, Object.fromEntries(texts.map(([name, text]) => [name, text!])));
}

function difference({ settings }: Settings, name: string, text: string | undefined): string {
  const setting = settings.find((each) => each.name === name);
  const unit = setting?.unit === undefined ? "" : ` ${setting.unit}`;
  return `${name}: ${setting?.value ?? ""} → ${text ?? setting?.firstValue ?? ""}${unit}`;
}

function settingsTable({ settings }: Settings, width?: number): string[] {
  const columns = [
    { title: "SETTING" },
    { title: "VALUE" },
    { title: "SOURCE", drop: 1 },
    { title: "RANGE", shrinks: true, drop: 2 },
    { title: "MEANING", shrinks: true, drop: 3 },
  ];
  const rows = settings.map((setting) => [
    setting.name,
    shownValue(setting),
    sourceOf(setting),
    rangeOf(setting),
    setting.description,
  ]);
  return table(columns, rows, width);
}

function shownValue({ value, unit }: Setting): string {
  return unit === undefined ? value : `${value} ${unit}`;
}

function sourceOf({ source, firstValue }: Setting): string {
  return source === "changed" ? `changed, first ${firstValue}` : source;
}

function rangeOf({ min, max, choices }: Setting): string {
  if (choices.length > 0) return choices.join(", ");
  return min === undefined || max === undefined ? "" : `${min} to ${max}`;
}

/** The objects that `--json` prints, with the member names of the server. */
function settingsJson({ version, settings }: Settings) {
  return { version: Number(version), settings: settings.map(settingJson) };
}

function settingJson({ name, value, source, firstValue, description, unit, min, max, choices }: Setting) {
  return {
    ...{ name, value, source, first_value: firstValue, description, unit, min, max },
    ...(choices.length > 0 && { choices }),
  };
}
