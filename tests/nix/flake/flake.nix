# Hosts of the test bed as a flake; "tools" and "systems" are laid beside this file, "site" is another folder.
{
  description = "Hosts of the test bed";

  inputs.site = { url = "path:/srv/site"; flake = false; };

  outputs = { self, site }:
    let
      host = hostName: extra: {
        config.system.build.toplevel = (import ./systems { tools = ./tools; inherit hostName; }).${extra};
      };
    in
    {
      nixosConfigurations.web = host "web" (builtins.readFile (site + "/generation"));
      nixosConfigurations.db = host "db" "A";
      nixosConfigurations.broken.config.system.build.toplevel = throw "the option `services.wbe' does not exist";
    };
}
