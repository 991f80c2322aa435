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
import { maxBandwidthMbps, type Settings, type SettingValues } from "../domain/settings.ts";

const rpc = ConfigurationService.method;

export interface ConfigurationParts {
  readonly settings: Pick<Settings, "current" | "update">;
  /** Downloads at a time that a process serves. */
  readonly maxDownloads: number;
}

/** The operations of `com.vmware.content.configuration`. */
export function configurationOperations({
  settings,
  maxDownloads,
}: ConfigurationParts): readonly Operation[] {
  return [
    operation({
      method: rpc.get,
      async run() {
        const model = modelOf(await settings.current(), maxDownloads);
        return create(ConfigurationServiceGetResponseSchema, { model });
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
        requireUnchanged(model, maxDownloads);
        const changes = changesIn(model);
        if (Object.keys(changes).length > 0) await settings.update(changes);
        return create(ConfigurationServiceUpdateResponseSchema);
      },
    }),
  ];
}

/** What never changes: nothing is synchronized, and the files of an item have no ranks. */
function readOnlyMembers(maxDownloads: number) {
  return {
    automatic_sync_enabled: false,
    automatic_sync_start_hour: 0,
    automatic_sync_stop_hour: 0,
    maximum_concurrent_item_syncs: 0,
    automatic_sync_refresh_interval: 0,
    automatic_sync_setting_refresh_interval: 0,
    transfer_nfc_max_concurrent_transfers_per_host: 0,
    priority_transfer_threads_pool_size: 0,
    transfer_threads_pool_size: maxDownloads,
  } as const;
}

function modelOf({ transferBandwidthMbps }: SettingValues, maxDownloads: number): ConfigurationModel {
  const values: Record<string, number | boolean> = {
    ...readOnlyMembers(maxDownloads),
    transfer_throttling_bandwidth_total: transferBandwidthMbps,
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
function requireUnchanged(model: ConfigurationModel, maxDownloads: number): void {
  for (const [name, value] of Object.entries(readOnlyMembers(maxDownloads))) {
    const { localName } = ConfigurationModelSchema.fields.find((field) => field.name === name)!;
    const given = model[localName as keyof ConfigurationModel];
    if (given === undefined || String(given) === String(value)) continue;
    throw new ServiceError("downlease.configuration.read_only", [name, String(value)]);
  }
}

/** @throws ServiceError `invalid_argument` */
function changesIn({ transferThrottlingBandwidthTotal: mbps }: ConfigurationModel): Partial<SettingValues> {
  if (mbps === undefined) return {};
  if (mbps < 0n || mbps > BigInt(maxBandwidthMbps)) {
    const rule = `a whole number from 0 to ${maxBandwidthMbps}`;
    throw new ServiceError("downlease.argument.type", ["transfer_throttling_bandwidth_total", rule]);
  }
  return { transferBandwidthMbps: Number(mbps) };
}
