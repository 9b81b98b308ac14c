# A stand-in for the part of nixpkgs' lib that nix/ and flake.nix use, written for these tests: the module system with
# imports, types, priorities, mkIf and mkMerge, and errors for undeclared options and values of another type.
rec {
  inherit (builtins)
    all
    any
    attrNames
    concatLists
    concatMap
    concatStringsSep
    elem
    filter
    foldl'
    isAttrs
    isBool
    isFunction
    isInt
    isList
    isString
    length
    listToAttrs
    mapAttrs
    ;
  optional = wanted: value: if wanted then [ value ] else [ ];
  optionals = wanted: values: if wanted then values else [ ];
  unique = foldl' (seen: each: if elem each seen then seen else seen ++ [ each ]) [ ];
  genAttrs = names: make: listToAttrs (map (name: { inherit name; value = make name; }) names);
  getExe = package: "${package}/bin/${package.meta.mainProgram}";
  cleanSource = path: path;
  licenses = { mit = "MIT"; asl20 = "Apache-2.0"; };
  platforms.linux = [ "x86_64-linux" "aarch64-linux" ];

  # --- what a module's values are wrapped in
  mkIf = condition: content: { _type = "if"; inherit condition content; };
  mkMerge = contents: { _type = "merge"; inherit contents; };
  mkOverride = priority: content: { _type = "override"; inherit priority content; };
  mkDefault = mkOverride 1000;
  mkForce = mkOverride 50;
  mkOption = option: option // { _type = "option"; };
  mkEnableOption = what: mkOption {
    type = types.bool;
    default = false;
    description = "Whether to enable ${what}.";
  };
  typeOf = value: if isAttrs value then value._type or "" else "";
  showOption = concatStringsSep ".";

  # A definition of an option: its values that hold, with their priorities.
  discharge = value:
    {
      merge = concatMap discharge value.contents;
      "if" =
        if !(isBool value.condition) then throw "mkIf wants a Boolean"
        else if value.condition then discharge value.content
        else [ ];
      override = map (each: each // { inherit (value) priority; }) (discharge value.content);
    }.${typeOf value} or [ { priority = 100; inherit value; } ];

  # A definition of a tree of options, as plain trees: wrappers move down to the leaves, so that the names in a tree do
  # not depend on a condition that depends on the tree.
  pushDown = tree:
    let within = wrap: concatMap (each: [ (mapAttrs (_: wrap) each) ]) (pushDown tree.content); in
    {
      merge = concatMap pushDown tree.contents;
      "if" = within (mkIf tree.condition);
      override = within (mkOverride tree.priority);
    }.${typeOf tree} or [ tree ];

  mergeDefinitions = place: type: definitions:
    let
      held = concatMap discharge definitions;
      first = foldl' (least: each: if each.priority < least then each.priority else least) 10000 held;
      values = map (each: each.value) (filter (each: each.priority == first) held);
      wrong = filter (value: !(type.check value)) values;
      said = value: if isAttrs value || isFunction value then "a ${builtins.typeOf value}" else builtins.toJSON value;
    in
    if wrong != [ ] then
      throw "A definition for option `${showOption place}' is not of type `${type.name}': ${said (builtins.head wrong)}"
    else { isDefined = values != [ ]; value = type.merge place values; };

  mergeOption = place: option: definitions:
    let
      default = optional (option ? default) (mkOverride 1500 option.default);
      merged = mergeDefinitions place option.type (definitions ++ default);
    in
    if !(option ? type && option ? description) then throw "The option `${showOption place}' lacks a type or a description"
    else if merged.isDefined then (option.apply or (value: value)) merged.value
    else throw "The option `${showOption place}' is used but not defined";

  # --- modules
  evalModules = { modules, specialArgs ? { } }:
    let
      arguments = specialArgs // { config = tree; lib = import ./lib.nix; };
      collect = module:
        let
          loaded = if isAttrs module || isFunction module then module else import module;
          body = if isFunction loaded then loaded arguments else loaded;
          isPlain = !(body ? options || body ? config);
        in
        [ {
          options = body.options or { };
          config = if isPlain then removeAttrs body [ "imports" ] else body.config or { };
        } ] ++ concatMap collect (body.imports or [ ]);
      # A module that is imported twice by its path counts once.
      collected = concatMap collect modules;
      merge = place: left: right:
        foldl' (tree: name:
          let
            here = place ++ [ name ];
            both = tree.${name};
          in
          tree // {
            ${name} =
              if !(tree ? ${name}) then right.${name}
              else if typeOf both == "option" || typeOf right.${name} == "option" then
                throw "The option `${showOption here}' is declared twice"
              else merge here both right.${name};
          }) left (attrNames right);
      options = foldl' (merge [ ]) { } (map (module: module.options) collected);
      definitions = concatMap (module: pushDown module.config) collected;
      at = name: trees: concatMap (tree: optional (tree ? ${name}) tree.${name}) trees;
      evaluate = place: declared: trees:
        mapAttrs (name: option:
          let here = place ++ [ name ]; in
          if typeOf option == "option" then mergeOption here option (at name trees)
          else evaluate here option (concatMap pushDown (at name trees))) declared;
      undeclared = place: declared: trees:
        let names = unique (concatMap attrNames trees); in
        concatMap (name:
          let here = place ++ [ name ]; in
          if !(declared ? ${name}) then [ (showOption here) ]
          else if typeOf declared.${name} == "option" then [ ]
          else undeclared here declared.${name} (concatMap pushDown (at name trees))) names;
      tree = evaluate [ ] options definitions;
      strangers = undeclared [ ] options definitions;
    in
    {
      inherit options;
      config = if strangers == [ ] then tree else throw "The option `${builtins.head strangers}' does not exist";
    };

  types =
    let
      # Several definitions that agree are one.
      same = place: values:
        if length (unique values) == 1 then builtins.head values
        else throw "The option `${showOption place}' has conflicting definition values";
      simple = name: check: { inherit name check; merge = same; };
    in
    rec {
      bool = simple "boolean" isBool;
      int = simple "signed integer" isInt;
      ints.between = least: most: simple "integer between ${toString least} and ${toString most}"
        (value: isInt value && value >= least && value <= most);
      str = simple "string" isString;
      singleLineStr = strMatching "[^\n\r]*\n?" // { merge = place: values: chomp (same place values); };
      chomp = text: let line = builtins.match "([^\n]*)\n" text; in if line == null then text else builtins.head line;
      strMatching = pattern:
        simple "string matching the pattern ${pattern}" (value: isString value && builtins.match pattern value != null);
      lines = str // { merge = _: concatStringsSep "\n"; };
      package = simple "package" (value: isAttrs value && value.type or "" == "derivation");
      anything = { name = "anything"; check = _: true; merge = place: values:
        if all isAttrs values && values != [ ] then (attrsOf anything).merge place values else same place values; };
      enum = values: simple "one of ${builtins.toJSON values}" (value: elem value values);
      nullOr = type: {
        name = "null or ${type.name}";
        check = value: value == null || type.check value;
        merge = place: values: if all (value: value == null) values then null else type.merge place values;
      };
      either = one: other: {
        name = "${one.name} or ${other.name}";
        check = value: one.check value || other.check value;
        merge = place: values: (if all one.check values then one else other).merge place values;
      };
      listOf = type: {
        name = "list of ${type.name}";
        check = isList;
        merge = place: values: concatMap (list: map (value: (mergeDefinitions place type [ value ]).value) list) values;
      };
      attrsOf = type: {
        name = "attribute set of ${type.name}";
        check = value: isAttrs value && typeOf value == "";
        merge = place: values:
          let
            merged = name: mergeDefinitions (place ++ [ name ]) type
              (concatMap (value: optional (value ? ${name}) value.${name}) values);
            names = filter (name: (merged name).isDefined) (unique (concatMap attrNames values));
          in
          genAttrs names (name: (merged name).value);
      };
      submodule = module: {
        name = "submodule";
        check = value: isAttrs value || isFunction value;
        merge = place: values:
          (evalModules {
            modules = [ module ] ++ values;
            specialArgs.name = builtins.elemAt place (length place - 1);
          }).config;
      };
    };
}
