import { backends } from "./backends.ts";
import { bandwidthStoreContract } from "./bandwidth-store.ts";
import { settingsStoreContract } from "./settings-store.ts";

for (const backend of backends) {
  settingsStoreContract(backend);
  bandwidthStoreContract(backend);
}
