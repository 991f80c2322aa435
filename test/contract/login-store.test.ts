import { backends } from "./backends.ts";
import { loginStoreContract } from "./login-store.ts";

for (const backend of backends) loginStoreContract(backend);
