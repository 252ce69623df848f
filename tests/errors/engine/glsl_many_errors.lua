sim = FluidEngine.new{domain_size = {8, 8, 8}}
sim:add_field("a", Format.R32F, 0)
sim:add_stencil("s", {inputs={"a"}, outputs = {"a_new"}, code = [[
  vec3 v = normalise(vec3(1));
  float q = v;
  if (q > 1.0) {
      float z = wrong;
  }
  float ok = ReadField("a", vec3(1));
  float long = 1.0
     + alsowrong;
  WriteField("a_new", idx, vec2(1));
]]})
