import { fromJson } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { useMutation, useQuery } from "@connectrpc/connect-query";
import { type FormEvent, useState } from "react";
import { Button, Input, Label, TextField } from "react-aria-components";
import {
  AdminService,
  type Setting,
  type Settings,
  SettingValuesSchema,
} from "../../../gen/downlease/admin/v1/admin_pb.ts";
import { Choice } from "../parts/choice.tsx";
import { Confirm } from "../parts/confirm.tsx";
import { Loading } from "../parts/loading.tsx";
import { PageTitle } from "../parts/page-title.tsx";
import { Problem } from "../parts/problem.tsx";
import { Table } from "../parts/table.tsx";

/** New texts of settings, by name; undefined takes the change of a setting back. */
type Edits = Readonly<Record<string, string | undefined>>;

/** The settings that may change while the service runs. */
export default function SettingsPage() {
  const { data, error, refetch } = useQuery(AdminService.method.getSettings, {}, { refetchInterval: 3_000 });
  /** What the user edits, and the settings that it was made from. */
  const [draft, setDraft] = useState<{ readonly base: Settings; readonly edits: Edits }>();
  const [isSaving, setSaving] = useState(false);
  if (error !== null) return <Problem error={error} />;
  if (data?.settings === undefined) return <Loading label="Loading the settings" />;
  const current = data.settings;
  const base = draft?.base ?? current;
  const edits = draft?.edits ?? {};
  const isChanged = Object.keys(edits).length > 0;
  const edit = (setting: Setting, value: string | undefined) => {
    const { [setting.name]: _, ...others } = edits;
    const isSame = value === setting.value || (value === undefined && setting.source !== "changed");
    setDraft({ base, edits: isSame ? others : { ...others, [setting.name]: value } });
  };
  return (
    <>
      <PageTitle title="Settings" />
      <p className="fine">
        They count for every process that uses the same store, within two seconds, and outlive restarts.
        Version {String(current.version)}.
      </p>
      {draft !== undefined && isChanged && current.version !== base.version && (
        <p className="problem" role="alert">
          Somebody else has changed the settings meanwhile: they have version {String(current.version)} by
          now, your changes begin with version {String(base.version)}.{" "}
          <Button onPress={() => setDraft({ base: current, edits })}>
            Keep my changes, on the new version
          </Button>{" "}
          <Button onPress={() => setDraft(undefined)}>Drop my changes</Button>
        </p>
      )}
      <form
        onSubmit={(event: FormEvent) => {
          event.preventDefault();
          setSaving(true);
        }}
      >
        {base.settings.map((setting) => (
          <SettingField
            key={setting.name}
            setting={setting}
            value={setting.name in edits ? (edits[setting.name] ?? setting.firstValue) : setting.value}
            isChanged={setting.name in edits}
            onChange={(value) => edit(setting, value)}
          />
        ))}
        <div className="buttons">
          <Button isDisabled={!isChanged} onPress={() => setDraft(undefined)}>
            Drop changes
          </Button>
          <Button type="submit" className="primary" isDisabled={!isChanged}>
            Save…
          </Button>
        </div>
      </form>
      {isSaving && draft !== undefined && (
        <SaveDialog
          base={draft.base}
          edits={draft.edits}
          onSaved={() => {
            setSaving(false);
            setDraft(undefined);
            void refetch();
          }}
          onClose={() => {
            setSaving(false);
            void refetch();
          }}
        />
      )}
    </>
  );
}

const sources: Readonly<Record<string, string>> = {
  default: "the default",
  flag: "a flag of the command line",
  variable: "an environment variable",
  file: "the configuration file",
  changed: "changed while the service ran",
};

function SettingField({
  setting,
  value,
  isChanged,
  onChange,
}: {
  readonly setting: Setting;
  readonly value: string;
  readonly isChanged: boolean;
  onChange(value: string | undefined): void;
}) {
  const { name, description, unit, min, max, choices, source, firstValue } = setting;
  const label = labelOf(name, unit);
  return (
    <div className="setting" data-changed={isChanged}>
      {choices.length > 0 ? (
        <Choice
          label={label}
          value={value}
          options={Object.fromEntries(choices.map((choice) => [choice, choice]))}
          onChange={onChange}
        />
      ) : (
        <TextField value={value} onChange={onChange}>
          <Label>{label}</Label>
          <Input inputMode="decimal" />
        </TextField>
      )}
      <p className="fine">
        {sentence(description)}
        {min !== undefined && max !== undefined && ` From ${min} to ${max}.`} In force: {setting.value}, from{" "}
        {sources[source] ?? source}.
      </p>
      {source === "changed" && (
        <Button aria-label={`Reset to ${firstValue}: ${name}`} onPress={() => onChange(undefined)}>
          Reset to {firstValue}
        </Button>
      )}
    </div>
  );
}

/** Shows what will change, then saves it unless the settings have another version by then. */
function SaveDialog({
  base,
  edits,
  onSaved,
  onClose,
}: {
  readonly base: Settings;
  readonly edits: Edits;
  onSaved(): void;
  onClose(): void;
}) {
  const update = useMutation(AdminService.method.updateSettings, { onSuccess: onSaved });
  const [mistake, setMistake] = useState<Error>();
  const changes = base.settings.filter(({ name }) => name in edits);
  const isConflict = update.error !== null && ConnectError.from(update.error).code === Code.Aborted;
  const save = () => {
    try {
      update.mutate({ version: base.version, values: valuesOf(edits), resets: resetsOf(edits) });
    } catch (error) {
      setMistake(error as Error);
    }
  };
  return (
    <Confirm
      title="Save the settings?"
      action="Save"
      isBusy={update.isPending}
      isDisabled={isConflict}
      error={mistake ?? update.error}
      onConfirm={save}
      onClose={onClose}
    >
      <Table label="Changes" columns={["Setting", "Now", "New"]}>
        {changes.map(({ name, value, firstValue }) => (
          <tr key={name}>
            <th scope="row">{name}</th>
            <td>
              <del>{value}</del>
            </td>
            <td>
              <ins>{edits[name] ?? firstValue}</ins>
            </td>
          </tr>
        ))}
      </Table>
    </Confirm>
  );
}

/** The texts as the message has them. @throws Error for one that is no value of its setting's type */
function valuesOf(edits: Edits) {
  const members = Object.entries(edits).flatMap(([name, text]) => {
    if (text === undefined) return [];
    const field = SettingValuesSchema.fields.find((each) => each.name === name);
    const isText = field?.fieldKind === "scalar" && name === "log_level";
    const value = isText ? text : Number(text);
    if (text.trim() === "" || Number.isNaN(value)) throw new ConnectError(`${name} must be a number.`);
    return [[name, value]];
  });
  try {
    return fromJson(SettingValuesSchema, Object.fromEntries(members));
  } catch {
    throw new ConnectError("A value has the wrong type: whole numbers have no fraction.");
  }
}

function resetsOf(edits: Edits): string[] {
  return Object.entries(edits).flatMap(([name, text]) => (text === undefined ? [name] : []));
}

/** For example `lease (seconds)` for `lease_seconds`. */
function labelOf(name: string, unit: string | undefined): string {
  const words = name.replaceAll("_", " ");
  return unit === undefined ? words : `${words.replace(/ (seconds|mbps)$/, "")} (${unit})`;
}

/** A help text of the command line as a sentence. */
function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}
