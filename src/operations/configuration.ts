import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type ConfigurationModel,
  ConfigurationModelSchema,
  ConfigurationService,
  ConfigurationServiceGetResponseSchema,
  ConfigurationServiceUpdateResponseSchema,
  type ConfigurationSettingSchema,
} from "../../gen/content/v1/configuration_pb.ts";
import { type Operation, operation } from "../calls/pipeline.ts";
import { ServiceError } from "../domain/errors.ts";
import { mayChangeSettings } from "../domain/roles.ts";
import type { Settings, SettingsState } from "../domain/settings.ts";
import type { SettingValues } from "../domain/settings-schema.ts";

const rpc = ConfigurationService.method;

/** The setting that `transfer_throttling_bandwidth_total` is. */
const bandwidth = "transfer_bandwidth_mbps";

export interface ConfigurationParts {
  readonly settings: Pick<Settings, "refresh" | "values" | "state" | "update">;
}

/** The operations of `com.vmware.content.configuration`. */
export function configurationOperations({ settings }: ConfigurationParts): readonly Operation[] {
  return [
    operation({
      method: rpc.get,
      async run() {
        await settings.refresh();
        return create(ConfigurationServiceGetResponseSchema, { model: modelOf(settings.values) });
      },
    }),
    operation({
      method: rpc.update,
      changes: true,
      auditDetails: ({ model }) => ({
        transfer_throttling_bandwidth_total: String(model?.transferThrottlingBandwidthTotal ?? ""),
      }),
      async run({ model }, caller) {
        if (!mayChangeSettings(caller)) throw new ServiceError("downlease.configuration.role");
        if (model === undefined) throw new ServiceError("downlease.argument.missing", ["model"]);
        requireUnchanged(model, settings.values);
        const { transferThrottlingBandwidthTotal: mbps } = model;
        if (mbps !== undefined) {
          requireBandwidth(mbps, settings.state);
          await settings.update({ [bandwidth]: String(mbps) }, { by: caller.principal });
        }
        return create(ConfigurationServiceUpdateResponseSchema);
      },
    }),
  ];
}

/** What can't be changed here: nothing is synchronized, and the files of an item have no ranks. */
function readOnlyMembers({ maxTransfers }: SettingValues) {
  return {
    automatic_sync_enabled: false,
    automatic_sync_start_hour: 0,
    automatic_sync_stop_hour: 0,
    maximum_concurrent_item_syncs: 0,
    automatic_sync_refresh_interval: 0,
    automatic_sync_setting_refresh_interval: 0,
    transfer_nfc_max_concurrent_transfers_per_host: 0,
    priority_transfer_threads_pool_size: 0,
    transfer_threads_pool_size: maxTransfers,
  } as const;
}

function modelOf(settings: SettingValues): ConfigurationModel {
  const values: Record<string, number | boolean> = {
    ...readOnlyMembers(settings),
    transfer_throttling_bandwidth_total: settings.transferBandwidthMbps,
  };
  const members: Record<string, unknown> = {};
  for (const { name, localName } of ConfigurationModelSchema.fields) {
    const value = values[name];
    members[localName] =
      value === undefined ? aboutSetting(name) : typeof value === "number" ? BigInt(value) : value;
  }
  return create(ConfigurationModelSchema, members);
}

function aboutSetting(field: string): MessageInitShape<typeof ConfigurationSettingSchema> {
  return { name: field.replace(/_setting$/, ""), rebootRequired: false, constraints: [] };
}

/** Clients may send back what they have read. @throws ServiceError `invalid_argument` for another value */
function requireUnchanged(model: ConfigurationModel, settings: SettingValues): void {
  for (const [name, value] of Object.entries(readOnlyMembers(settings))) {
    const { localName } = ConfigurationModelSchema.fields.find((field) => field.name === name)!;
    const given = model[localName as keyof ConfigurationModel];
    if (given === undefined || String(given) === String(value)) continue;
    throw new ServiceError("downlease.configuration.read_only", [name, String(value)]);
  }
}

/** The member has another name than the setting. @throws ServiceError `invalid_argument` */
function requireBandwidth(mbps: bigint, { entries }: SettingsState): void {
  const { min, max } = entries.find(({ name }) => name === bandwidth)!;
  if (mbps >= min! && mbps <= max!) return;
  const rule = `a whole number from ${min} to ${max}`;
  throw new ServiceError("downlease.argument.type", ["transfer_throttling_bandwidth_total", rule]);
}
