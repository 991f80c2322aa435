import { create, type MessageShape } from "@bufbuild/protobuf";
import {
  AdminService,
  GetSettingsResponseSchema,
  type Settings as SettingsMessage,
  SettingsSchema,
  type SettingValues,
  SettingValuesSchema,
  UpdateSettingsResponseSchema,
} from "../../../gen/downlease/admin/v1/admin_pb.ts";
import { type Operation, operation } from "../../calls/pipeline.ts";
import { ServiceError } from "../../domain/errors.ts";
import type { Settings, SettingsState } from "../../domain/settings.ts";
import type { SettingChanges } from "../../domain/settings-store.ts";

const { getSettings, updateSettings } = AdminService.method;

/** The operations of `AdminService` on the settings that may change while the service runs. */
export function settingsOperations(
  settings: Pick<Settings, "refresh" | "state" | "update">,
): readonly Operation[] {
  return [
    operation({
      method: getSettings,
      isAdministration: true,
      async run() {
        await settings.refresh();
        return create(GetSettingsResponseSchema, { settings: settingsMessage(settings.state) });
      },
    }),
    operation({
      method: updateSettings,
      isAdministration: true,
      changes: true,
      auditDetails: ({ values, resets }) => ({
        ...textsOf(values),
        ...(resets.length > 0 && { resets: resets.join(",") }),
      }),
      async run({ version, values, resets }, { principal: by }) {
        const changes = changesIn(values, resets);
        await settings.update(changes, { by, version: version === undefined ? undefined : Number(version) });
        return create(UpdateSettingsResponseSchema, { settings: settingsMessage(settings.state) });
      },
    }),
  ];
}

/** What a client gets to see of the settings. */
export function settingsMessage({ version, entries }: SettingsState): SettingsMessage {
  const settings = entries.map(({ choices = [], ...entry }) => ({ ...entry, choices: [...choices] }));
  return create(SettingsSchema, { version: BigInt(version), settings });
}

/**
 * A request without any is refused: a client of another release may have meant a setting that is unknown here, and would
 * take success for a change.
 *
 * @throws ServiceError `invalid_argument`
 */
function changesIn(values: SettingValues | undefined, resets: readonly string[]): SettingChanges {
  const changes: Record<string, string | undefined> = Object.fromEntries(
    resets.map((name) => [name, undefined]),
  );
  for (const [name, text] of Object.entries(textsOf(values))) {
    if (Object.hasOwn(changes, name)) {
      throw new ServiceError("downlease.settings.invalid", [`'${name}' is in values and in resets`]);
    }
    changes[name] = text;
  }
  if (Object.keys(changes).length === 0) throw new ServiceError("downlease.argument.missing", ["values"]);
  return changes;
}

/** The values that are set, as texts, by name. */
function textsOf(values: SettingValues | undefined): Readonly<Record<string, string>> {
  const fields = SettingValuesSchema.fields.map(({ name, localName }) => {
    return [name, values?.[localName as keyof MessageShape<typeof SettingValuesSchema>]] as const;
  });
  const set = fields.filter(([, value]) => value !== undefined);
  return Object.fromEntries(set.map(([name, value]) => [name, String(value)]));
}
